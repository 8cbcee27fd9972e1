"""Text to ids and back, from the files of a tokenizer of transformers (Qwen2's, or words).

It reads and writes these files itself because importing transformers takes a quarter of the time
until the first drawing. Other kinds of files are converted by transformers.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import tokenizers
from tokenizers import AddedToken
from tokenizers.models import WordLevel

TOKENS, CONFIG, CHAT = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
# Where transformers looks for added tokens if tokenizer_config.json does not list them.
OLDER = ("added_tokens.json", "special_tokens_map.json")
# Classes that take tokenizer.json as it is.
PLAIN = {"TokenizersBackend", "PreTrainedTokenizerFast", "Qwen2Tokenizer", "Qwen2TokenizerFast"}
NAMED = ("eos_token", "pad_token", "unk_token", "bos_token")


def _content(token: str | Mapping[str, Any]) -> str:
    return token if isinstance(token, str) else str(token["content"])


def _contents(added: Mapping[str, Any] | None) -> list[str]:
    return [_content(token) for token in (added or {}).values()]


def _special(config: Mapping[str, Any]) -> list[str]:
    """The special tokens that a tokenizer_config.json names."""
    more = list(config.get("additional_special_tokens") or ())
    # A list, or names of a model's own with their tokens.
    extra = config.get("extra_special_tokens") or ()
    more += extra.values() if isinstance(extra, Mapping) else extra
    more += [t for t in (config.get("added_tokens_decoder") or {}).values() if t.get("special")]
    return [_content(token) for token in (*map(config.get, NAMED), *more) if token]


@dataclass(frozen=True)
class Tokenizer:
    """``backend`` holds the vocabulary, ``config`` what tokenizer_config.json says beside it."""

    backend: tokenizers.Tokenizer
    config: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.backend.encode_special_tokens = True

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        # Copies of the backend forget that setting.
        return type(self), (self.backend, self.config)

    @classmethod
    def build(cls, backend: tokenizers.Tokenizer, special: Sequence[str], **named: str) -> Self:
        """A new tokenizer with these special tokens; ``named`` are those of ``NAMED``."""
        tokens = [*named.values(), *special]
        backend.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in tokens])
        kind = {"tokenizer_class": "PreTrainedTokenizerFast", "backend": "tokenizers"}
        return cls(backend, {**kind, **named, "extra_special_tokens": list(special)})

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """Runs no code from the folder. Raises OSError, ValueError, KeyError or TypeError for
        files that are missing or no tokenizer."""
        return cls._as_is(folder) or cls._converted(str(folder))

    @classmethod
    def from_name(cls, name: str) -> Self:
        """A published one from the hub's cache, or from the hub. Raises OSError."""
        return cls._converted(name)

    @classmethod
    def _as_is(cls, folder: Path) -> Self | None:
        """None where transformers would add to tokenizer.json, or read other files."""
        if not all((folder / name).is_file() for name in (TOKENS, CONFIG)):
            return None
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if config.get("tokenizer_class") not in PLAIN or config.get("add_prefix_space"):
            return None
        backend = _opened((folder / TOKENS).read_text(encoding="utf-8"))
        known = {t.content: t.special for t in backend.get_added_tokens_decoder().values()}
        added = config.get("added_tokens_decoder")
        if not all(map(known.get, _special(config))) or not known.keys() >= set(_contents(added)):
            return None
        if added is None and any((folder / name).exists() for name in OLDER):
            return None
        if (chat := folder / CHAT).is_file():
            config = {**config, "chat_template": chat.read_text(encoding="utf-8")}
        return cls(backend, config)

    @classmethod
    def _converted(cls, name: str) -> Self:
        from transformers import AutoTokenizer

        with tempfile.TemporaryDirectory() as written:
            AutoTokenizer.from_pretrained(name, trust_remote_code=False).save_pretrained(written)
            config = json.loads((Path(written) / CONFIG).read_text(encoding="utf-8"))
            return cls(_opened((Path(written) / TOKENS).read_text(encoding="utf-8")), config)

    def save(self, folder: Path) -> None:
        """Two files that transformers reads, too."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TOKENS).write_text(self.backend.to_str(pretty=True), encoding="utf-8")
        text = json.dumps(self.config, indent=2, ensure_ascii=False, sort_keys=True)
        (folder / CONFIG).write_text(text + "\n", encoding="utf-8")

    # -- ids ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Of the vocabulary, with the tokens added to it."""
        return self.backend.get_vocab_size(with_added_tokens=True)

    def vocabulary(self) -> dict[str, int]:
        return self.backend.get_vocab(with_added_tokens=True)

    @property
    def of_words(self) -> bool:
        """Whether the vocabulary is a closed list of words."""
        return isinstance(self.backend.model, WordLevel)

    def id(self, token: str) -> int | None:
        return self.backend.token_to_id(token)

    def named_id(self, name: str) -> int | None:
        """The id of ``pad_token`` and its like; None where the tokenizer has none."""
        token = self.config.get(name)
        return self.id(_content(token)) if token else None

    @property
    def special_ids(self) -> frozenset[int]:
        ids = map(self.id, _special(self.config))
        return frozenset(i for i in ids if i is not None)

    def read(self, text: str) -> tokenizers.Encoding:
        """Ids and their places in a text, in which special tokens are ordinary characters."""
        return self.backend.encode(text, add_special_tokens=False)

    def write(self, ids: Sequence[int], *, special: bool = True) -> str:
        """The text of ids, with or without special tokens."""
        return self.backend.decode(list(ids), skip_special_tokens=not special)


def _opened(text: str) -> tokenizers.Tokenizer:
    """Raises ValueError for what is no tokenizer: the library itself raises a bare Exception."""
    try:
        return tokenizers.Tokenizer.from_str(text)
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise ValueError(f"{TOKENS} is no tokenizer: {error}") from None
