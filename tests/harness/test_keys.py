"""Keys and tokens in all their common forms reach no file and no terminal."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from harmon_eval import cli
from harmon_eval.adapters.openai import OpenAIResponder
from harmon_eval.core import Ask
from harmon_eval.instruments.judging import Judge
from harmon_eval.store.durable import read_json, write_json
from harmon_eval.store.redact import HIDDEN, is_secret_name, redacted, shown

R = "a1B2c3D4e5F6g7H8i9J0"  # no key of anybody
# form -> (text that holds it, what must be gone)
FORMS = {
    "openai": f"sk-{R}",
    "openai project": f"sk-proj-{R}_{R}",
    "anthropic": f"sk-ant-api03-{R}",
    "openrouter": f"sk-or-v1-{R}",
    "stripe": f"sk_live_{R}",
    "hugging face": f"hf_{R}",
    "hugging face, organisation": f"api_org_{R}",
    "github": f"ghp_{R}",
    "github, oauth": f"gho_{R}",
    "github, server": f"ghs_{R}",
    "github, fine-grained": f"github_pat_{R}_{R}",
    "gitlab": f"glpat-{R}",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "aws, temporary": "ASIAIOSFODNN7EXAMPLE",
    "google": f"AIza{R}{R}",
    "google, oauth": f"ya29.{R}",
    "google, client": f"GOCSPX-{R}",
    "slack": f"xoxb-1234567890-{R}",
    "slack, app": f"xapp-1-{R}",
    "npm": f"npm_{R}",
    "pypi": f"pypi-{R}",
    "docker": f"dckr_pat_{R}",
    "groq": f"gsk_{R}",
    "xai": f"xai-{R}",
    "nvidia": f"nvapi-{R}",
    "perplexity": f"pplx-{R}",
    "replicate": f"r8_{R}",
    "databricks": "dapi0123456789abcdef0123",
    "sendgrid": f"SG.{R}.{R}",
    "vault": f"hvs.{R}",
    "telegram": f"123456789:AA{R}{R}",
    "jwt": f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIi{R}.{R}",
}
AROUND = {
    "Bearer {}": R,
    "Authorization: Bearer {}": R,
    "Authorization: Basic {}": "dXNlcjpwYXNzd29yZA==",
    "https://user:{}@host/v1": R,
    "https://{}@host/v1": R,
    "https://host/v1?key={}": R,
    "https://host/v1?a=1&token={}&b=2": R,
    "https://host/v1?api-key={}": R,
    "https://host/f?sv=1&sig={}": "abc%2Bdef123",
    "https://host/f?X-Amz-Signature={}": R,
    "https://host/f?access_token={}": R,
    "OPENAI_API_KEY={}": R,
    "AWS_SECRET_ACCESS_KEY={}": f"wJalr{R}/{R}",
    "export HF_TOKEN='{}'": R,
    '{{"api_key": "{}"}}': R,
    "x-api-key: {}": R,
    "password={}": "correct-horse",
    "AccountKey={};EndpointSuffix=core": f"{R}==",
    "Incorrect API key provided: {}. You can find": R,
    "https://hooks.slack.com/services/{}": f"T00/B00/{R}",
    "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----": R,
}


@pytest.mark.parametrize("form", FORMS)
def test_a_key_of_a_known_form_is_hidden_wherever_it_stands(form: str) -> None:
    key = FORMS[form]
    for text in (key, f"refused ({key}): try again", f"a={key}&b", json.dumps({"said": key})):
        assert key not in redacted(text) and R not in redacted(text)
    tree = redacted({"settings": [{"note": key}], key: 1})
    assert key not in json.dumps(tree)


@pytest.mark.parametrize("around", AROUND)
def test_what_is_given_as_a_key_is_hidden(around: str) -> None:
    key = AROUND[around]
    assert key not in (hidden := redacted(around.format(key))) and HIDDEN in hidden
    assert redacted(hidden) == hidden, "what is hidden stays as it is"


NAMES = (
    *("OPENAI_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "GH_PAT"),
    *("GITHUB_TOKEN", "API_KEY_2", "OPENAI_APIKEY", "DB_PASSWORD", "SSH_PASSPHRASE", "apiKey"),
    *("x-api-key", "AZURE_CLIENT_SECRET", "AZURE_SAS", "SENTRY_DSN", "SESSION_COOKIE", "sig"),
    *("Authorization", "X-Amz-Signature", "GOOGLE_CREDENTIALS", "accessToken", "client_secret"),
)


@pytest.mark.parametrize("name", NAMES)
def test_values_of_a_keys_name_are_hidden(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_secret_name(name)
    assert redacted({name: "abc"}) == {name: HIDDEN}
    monkeypatch.setenv(name.replace("-", "_"), "correct horse battery")
    assert "horse" not in redacted("it says: correct horse battery!")


def test_what_is_no_key_is_left_alone() -> None:
    kept = {
        "max_new_tokens": 64,
        "settings": {"tokenizer": "gpt2", "cfg": 3.0, "layer": "last"},
        "fingerprint": "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
        "detector": "mask2former-mmdet-2.x sha256:743b7d99aa",
        "reason": "expected person<3, found 16; KeyError: 'category'; the key: fetched",
        "url": "openai:gpt-4o-2024-05-13@http://localhost:8000/v1?price=5:15",
        "path": "/home/someone/sketches/task-one",
        "text": "Basic understanding of a risk-free world, bearer of good news",
    }
    assert redacted(kept) == kept


def test_hiding_takes_time_in_proportion() -> None:
    for text in (
        "a" * 10**6,
        "key=" * 250_000,
        "://" * 300_000,
        "-----BEGIN " * 90_000,
        "eyJ" * 300_000,
    ):
        start = time.monotonic()
        redacted(text)
        assert time.monotonic() - start < 10, text[:20]


def test_reasons_that_differ_in_a_key_only_are_counted_together() -> None:
    found = redacted({f"refused sk-{R}": 2, f"refused sk-{R}9": 3, "else": 1})
    assert found == {f"refused {HIDDEN}": 5, "else": 1}


# -- fields of requests ----------------------------------------------------------------------


def test_fields_that_nobody_knows_are_hashed_and_keys_hidden() -> None:
    fields = {
        "temperature": 0.5,
        "chat_template_kwargs": {"enable_thinking": False},
        "api_key": "abc",
        "internal_route": "abc",
        "extra": {"deep": ["abc"]},
        "retries": 3,
    }
    found = shown(fields)
    assert "abc" not in json.dumps(found)
    assert found["chat_template_kwargs"] == {"enable_thinking": False} and found["retries"] == 3
    assert found["api_key"] == HIDDEN and found["internal_route"] != found["extra"]
    assert shown({**fields, "internal_route": "abd"}) != found
    assert shown(found) == found


def served(**body: object) -> Judge:
    return Judge(OpenAIResponder("http://127.0.0.1:9/v1", "m", body=body))


def test_a_hidden_field_is_sent_as_it_is_and_tells_requests_apart(tmp_path: Path) -> None:
    one, other = served(route="secret-one"), served(route="secret-two")
    assert "secret" not in one.identity and one.identity != other.identity
    assert isinstance(one.responder, OpenAIResponder)
    assert one.responder._body(Ask("?"))["route"] == "secret-one"
    asked = one.bound_to(tmp_path / "run/wise")
    asked.log.add(next(iter([*_keys(asked, Ask("?"))])), asked.identity, "2")
    again = served(route="secret-one").bound_to(tmp_path / "run/wise")
    assert not again.unanswered([Ask("?")]), "not paid for twice"
    assert other.bound_to(tmp_path / "run/wise").unanswered([Ask("?")])
    assert "secret" not in (tmp_path / "run/wise/judge.jsonl").read_text()


def _keys(judge: Judge, *requests: Ask) -> list[str]:
    from harmon_eval.store.judge_log import request_key

    return [request_key(judge._asked, request) for request in requests]


def test_nothing_of_a_hidden_field_stands_in_a_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    judge = "rules"
    body = json.dumps({"route": "in-the-open", "api_key": "in-the-open", "note": f"sk-{R}"})
    from harmon_eval.running.provenance import written

    spec = written(f"openai:m@http://127.0.0.1:9/v1?price=1:2&body={body}")
    assert "in-the-open" not in spec and R not in spec and "price=1" in spec
    assert written(spec) == spec
    drawn = ["--model", "scripted", "--tasks", "wise", "--limit", "1", "--output", "run"]
    assert cli.main([*drawn, "--instrument", f"judge={judge}"]) == 0
    manifest = read_json(tmp_path / "run/manifest.json")
    assert manifest["instruments"] == {"judge": "rules"}
    write_json(tmp_path / "x.json", {"env": {"MY_PAT": "in-the-open"}})
    assert "in-the-open" not in (tmp_path / "x.json").read_text()
