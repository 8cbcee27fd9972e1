"""What a training is: data, read by ``reading.py`` from TOML. Every field is documented here."""

from __future__ import annotations

from dataclasses import dataclass, field

TASKS = ("text2image", "image2text", "text", "edit", "reconstruct")
DRAWN = ("text2image", "edit", "reconstruct")  # trained by the diffusion loss


class RecipeError(ValueError):
    """The recipe cannot be used; the message names the key and what to write instead."""


class TrainingError(RuntimeError):
    """The training cannot go on; the message says where it stopped and what to do."""


class Stopped(TrainingError):
    """Asked to end by a signal; everything is saved."""


@dataclass(frozen=True)
class VAERecipe:
    """Train the KL-16 VAE of the bundled model on rendered scenes.

    Loss: ``squared_weight`` * L2 + L1 + ``edge_weight`` * L1 of image gradients + ``kl_weight`` *
    KL summed over latents; L1 and edges come in between the shares ``sharp_from`` and twice that.
    ``latent_noise``, in standard deviations of each channel, is added to what is decoded.
    ``learning_rate`` warms up over 100 steps and decays with a cosine. ``blocks`` and
    ``multipliers`` size the network, ``width`` its first level.
    """

    kind: str = "vae"
    seed: int = 0
    steps: int = 4000
    batch: int = 16
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.0
    squared_weight: float = 10.0
    edge_weight: float = 1.0
    sharp_from: float = 0.2
    kl_weight: float = 1.5e-6
    latent_noise: float = 0.05
    width: int = 32
    blocks: int = 1
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    bfloat16: bool = True
    threads: int = 2
    save_every: int = 200
    log_every: int = 20


@dataclass(frozen=True)
class Start:
    """Where the weights come from: one ``checkpoint``, or parts.

    ``checkpoint``: a bundled name, a folder, a ``.pth`` (with ``vae`` = kl16.ckpt) or a hub id.
    Parts: ``preset`` names the sizes (``harmon-0.5b``, ``harmon-1.5b``, ``harmon-mini``); ``llm``
    is a Qwen2 causal LM (folder or hub id), ``mar`` a class-conditional MAR checkpoint, ``vae`` a
    kl16.ckpt, a VAE training's checkpoint or a model's folder. A part that is not named is fresh;
    ``vae`` must be named. ``unit_latents``: fold the VAE's latents to unit standard deviation, as
    measured on that many rendered scenes (0: leave them). ``position_std`` starts the position
    tables of encoder, decoder and diffusion as sines and cosines of these deviations (empty: normal
    with std 0.02, as MAR). ``words`` are appended to a checkpoint's word tokenizer: the ids of old
    words stay, and rows of the embedding are added. The widths and depths, where not 0, replace
    those of ``harmon-mini``. ``visual_grad_scale`` multiplies the gradients into what the LLM, and
    an edit's decoder, see of a picture (0: what the checkpoint or preset says). ``edit_cfg_scale``:
    how edits with what is trained are guided (0: as the checkpoint says). ``grid``: the side of the
    grid of tokens, to which a checkpoint's position tables are resized; it gives the size of
    pictures (0: as it is). ``iterations``: how many to draw with (0: as the checkpoint says).
    """

    checkpoint: str = ""
    words: tuple[str, ...] = ()
    preset: str = "harmon-mini"
    llm: str = ""
    mar: str = ""
    vae: str = ""
    unit_latents: int = 0
    position_std: tuple[float, ...] = ()
    llm_width: int = 0
    llm_layers: int = 0
    mar_width: int = 0
    mar_depth: int = 0
    head_width: int = 0
    head_depth: int = 0
    buffers: int = 0
    dropout: float = 0.1
    visual_grad_scale: float = 0.0
    edit_cfg_scale: float = 0.0
    grid: int = 0
    iterations: int = 0


@dataclass(frozen=True)
class Source:
    """One stream of examples. A cycle takes ``repeat`` micro-batches of each source in turn.

    ``task``: text2image, image2text, text, edit (a source picture and an instruction to a target:
    UniPic-1, arXiv 2508.03320) or reconstruct (a picture from what the model itself sees of it:
    RecA, arXiv 2509.07295). ``batch`` counts samples of a micro-batch over all
    processes together; ``weight`` is that of its loss. ``first_step``: it joins the cycle there.
    ``data``: ``scenes`` (the mini world), or what ``datasets.load_dataset`` takes as its first
    argument (``json``, ``imagefolder``, ``webdataset``, a hub id), with ``files``, ``split`` and
    ``streaming``. ``image`` names the picture's column: bytes, or a path below ``images``. A column
    ``annotation`` names a JSON file below ``annotations`` whose keys join the row: the authors'
    format. ``prompt``, ``questions`` (one is picked) and ``answer`` are templates over the row,
    such as ``{caption}`` or ``{json[caption]}``. ``crop``: ``random`` or ``centre`` square to draw,
    or ``squeeze`` to a square; pictures to be seen are padded with grey. ``cache``: encode all
    pictures once, in advance. ``max_tokens`` cuts text (ids without picture places); 0: never.

    An edit's target is the column ``image``, its source the column ``source`` (a list must hold
    one), its instruction ``prompt``, and both are cropped alike. ``dropped``: share of edits whose
    instruction is "Edit this image.". A reconstruction is asked for by one of ``questions``.

    Of ``scenes``, ``scenes`` pictures are used, ``turns`` questions about each, ``lettered`` of
    those with wrong answers offering options. In a share ``drilled`` of the rows all questions do,
    and letters are the only answers; half of such rows of text only ask which option a hint is.
    A share ``crowded`` shows three or four objects of different kinds; ``open_pairs`` of the
    captions of two shapes leave their places open, ``full_captions`` of the others name everything;
    ``split`` is train, seen or unseen.
    """

    task: str = "text2image"
    batch: int = 32
    repeat: int = 1
    weight: float = 1.0
    first_step: int = 0
    data: str = "scenes"
    files: tuple[str, ...] = ()
    split: str = "train"
    streaming: bool = False
    image: str = "image"
    source: str = "source"
    images: str = ""
    annotations: str = ""
    prompt: str = "{caption}"
    questions: tuple[str, ...] = ("{question}",)
    answer: str = "{answer}"
    crop: str = "random"
    cache: bool = False
    max_tokens: int = 0
    dropped: float = 0.0
    scenes: int = 40_000
    turns: int = 3
    lettered: float = 0.25
    drilled: float = 0.0
    crowded: float = 0.0
    full_captions: float = 0.5
    open_pairs: float = 0.0


@dataclass(frozen=True)
class Optimizer:
    """``name``: adamw, or muon (hidden matrices by Muon with ``muon_rate``, the rest by AdamW).

    ``trained`` and ``frozen`` are beginnings of parameter names, such as ``llm`` or
    ``mar.decoder`` (no ``trained``: all); the VAE and MAR's unused class embedding never learn.
    ``factors`` multiply the learning rate of the names that begin so (the longest counts). Weight
    decay spares 1-D tensors and, unless ``decay_head``, the diffusion head. ``ema``: decay of an
    average of the weights (0: none), which is then what is drawn with, evaluated and exported.
    """

    name: str = "adamw"
    learning_rate: float = 1e-5
    muon_rate: float = 3e-3
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.02
    decay_head: bool = False
    clip: float = 1.0
    ema: float = 0.0
    trained: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    factors: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up over the share ``warmup``, from the share ``begin`` of the rate; 1 until the
    share ``constant``; then a cosine to the share ``final``."""

    warmup: float = 0.01
    begin: float = 1e-5
    constant: float = 0.0
    final: float = 0.0


@dataclass(frozen=True)
class Watch:
    """How often what is written, in steps (0: never). ``prompts`` are drawn into a grid.
    ``trackers``: accelerate's, such as tensorboard or wandb. ``keep``: checkpoints kept."""

    log_every: int = 20
    save_every: int = 500
    keep: int = 2
    draw_every: int = 0
    prompts: tuple[str, ...] = ()
    trackers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """Every ``every`` steps (0: never) the harness runs ``tasks`` of ``suite`` on the model as it
    is, ``limit`` prompts or images of each (0: all)."""

    every: int = 0
    tasks: tuple[str, ...] = ()
    suite: str = "mini"
    limit: int = 20


@dataclass(frozen=True)
class Distillation:
    """Teach a faster model: drawings learn from what ``start.checkpoint`` predicts, not from noise.

    ``one_pass``: what the teacher predicts with guidance, at its own CFG scale, is learnt without
    the unconditional half (guidance distillation). ``steps``: so many steps of DDIM are learnt,
    each in place of ``teacher_steps`` of the teacher's (progressive distillation); 0: any step.
    """

    one_pass: bool = False
    steps: int = 0
    teacher_steps: int = 4

    @property
    def wanted(self) -> bool:
        return self.one_pass or self.steps > 0


@dataclass(frozen=True)
class Recipe:
    """Train Harmon. One optimizer step takes one cycle over the sources; its loss is the weighted
    mean over micro-batches.

    ``minutes`` ends the training early (0: never), the schedule then following the clock.
    ``image_size`` in pixels (0: the model's own). ``unconditional``: share of prompts replaced by
    what guidance needs: "Generate an image.", and for edits "Repeat this image." with the source as
    target. ``stratified``: diffusion steps cover the schedule evenly. ``draws``:
    noise draws a token (0: the model's own). ``device_batch``: at most so many samples at once on a
    device (0: the whole share). ``precision``: no, bf16 or fp16. ``threads``: CPU threads (0:
    torch's choice). ``broken``: share of broken samples that ends the run. ``bad_step``: stop or
    skip at a loss that is not finite, or above ``spike`` times its running mean (0: no limit).
    """

    kind: str = "harmon"
    seed: int = 0
    steps: int = 50_000
    minutes: float = 0.0
    image_size: int = 0
    unconditional: float = 0.1
    stratified: bool = False
    draws: int = 0
    device_batch: int = 0
    precision: str = "bf16"
    gradient_checkpointing: bool = False
    threads: int = 0
    broken: float = 0.01
    bad_step: str = "stop"
    spike: float = 0.0
    start: Start = field(default_factory=Start)
    sources: tuple[Source, ...] = ()
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    watch: Watch = field(default_factory=Watch)
    eval: Evaluation = field(default_factory=Evaluation)
    distil: Distillation = field(default_factory=Distillation)


CHOICES = {
    "task": TASKS,
    "name": ("adamw", "muon"),
    "crop": ("random", "centre", "squeeze"),
    "precision": ("no", "bf16", "fp16"),
    "bad_step": ("stop", "skip"),
}


def cycle(recipe: Recipe, step: int) -> list[int]:
    """Numbers of the sources whose micro-batches make up step ``step``, in order."""
    return [
        number
        for number, source in enumerate(recipe.sources)
        if step >= source.first_step
        for _ in range(source.repeat)
    ]


def samples_before(recipe: Recipe, number: int, step: int) -> int:
    """How many samples of a source all processes together took in the steps before ``step``."""
    source = recipe.sources[number]
    return max(0, step - source.first_step) * source.repeat * source.batch


def source_names(recipe: Recipe) -> list[str]:
    """What a source's loss is called: its task, with the source's number where tasks repeat."""
    tasks = [source.task for source in recipe.sources]
    return [t if tasks.count(t) == 1 else f"{t}.{i}" for i, t in enumerate(tasks)]
