"""Settings of the training of networks, each checked before any work starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from eegdecode.training.augment import Recombination
from eegdecode.training.batches import steps_per_epoch
from eegdecode.training.chain import Chain
from eegdecode.training.checks import check_numbers, check_unused, check_words, is_count
from eegdecode.training.devices import find_devices
from eegdecode.training.states import States

MOST = 128    # runs side by side: beyond, a stack ends later and a run costs no less; see `eegdecode.sweeps.stacks`


@dataclass(frozen=True)
class DeepSettings:
    """How networks are trained.

    Parameters
    ----------
    epochs : int or None
        Passes over the training trials, at most. None: as many as ``updates`` take, rounded up.
    updates : int
        Steps of a run; ``epochs`` go before them. Runs with 26 and with 1000 training trials then learn equally long.
    batch_size : int
        Trials that go through the networks at once, at most (see `draw_epoch`).
    accumulate : int
        So many batches make a step: their gradients are added up, as if ``batch_size`` were so many times as large,
        in the memory of one (but for batch norm, which sees each batch alone).
    lr, weight_decay : float
        Base rate, and decay of weights. A run's own numbers replace them.
    decay_norms : bool
        Whether norms and biases decay as well.
    optimiser : {"adamw", "adam"}
        With the decay decoupled from the rate's curve or as an L2 term.
    betas : tuple of float
    schedule : {"cosine", "constant", "one_cycle", "plateau"}
        See `schedule`. ``plateau`` multiplies the rate by ``plateau_factor`` when more than ``plateau_patience``
        epochs brought no lower validation loss (training loss, where ``validation=0``).
    warmup : float
        Share of all steps over which the rate rises linearly; ``one_cycle`` has its own.
    clip : float or None
        Largest norm of a run's gradient.
    sam : float
        Radius rho of sharpness-aware minimisation (Foret et al., 2021: 0.05), which takes each step twice; 0: off.
    label_smoothing : float
    mixup : float
        Alpha of mixup (Zhang et al., 2018: 0.2), see `mix_trials`; 0: off.
    class_weights : {"balanced"} or None
        Weigh rare classes up, see `balanced_weights`.
    average : {"none", "ema", "swa"}
        Take a mean of the weights, see `Average`: as soon as there is one, it is measured, kept and tested.
    ema_decay, swa_share : float
        Decay of the exponential mean, and share of the epochs whose plain mean is taken.
    fine_tune : {"full", "head", "layerwise", "frozen_front"}
        What learns of a network that starts from another's weights (``model.init_from``): all; the head; all, at rates
        that fall from the head to the front (see `layer_rates`); all but the first half of the layers.
    layer_factor : float
        What the rate is divided by from one layer to the one before it.
    new_head : bool
        Whether such a network gets a new head. False keeps the source's; so does a run without training trials.
    adapt_norms : bool
        Test with batch norm by the statistics of the session's own test trials, without their labels (transductive).
    validation : float
        Share of the training trials that is held out for validation. Test trials never choose anything.
    select : {"last", "best_val"}
        Weights of the last epoch, or of the epoch with the least validation loss.
    patience : int or None
        Epochs without a lower validation loss after which a run stops.
    watch_test : bool
        Measure the accuracy on test trials after each epoch, for a diagnostic: how much choosing the epoch by it
        would flatter. Nothing chooses by it, and the score is the same.
    precision : {"float32", "bf16"}
        bf16 (on a GPU) multiplies matrices in 16 bits; weights and loss stay in 32.
    device : str or list of str
        ``auto`` (all GPUs, else the CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or several: ``[cuda:0,cuda:1]``.
        Not part of a run's identity.
    ensemble : {"auto", "loop", "vectorise"}
        How a stack is computed; auto is ``vectorise`` on a GPU and ``loop`` elsewhere.
    stack : int or "auto"
        Runs that are trained side by side, at most; auto: what the memory of the GPU holds (see `stack_size`).
    compile : bool
        Whether the training step of a stack goes through ``torch.compile`` (see `compiled`).
    replay : bool
        Whether steps are recorded and played back where they can be, on a GPU (see `Replay`); never with ``compile``.
        No part of a run's identity.
    workers : int, "auto" or None
        Processes that train on a CPU, a run at a time each; auto or None: as many as there are cores. Never more
        than runs, and none beside this one where stacks are vectorised. Several devices have one each, whatever
        stands here. Not part of a run's identity.
    preflight : bool
        Whether the network is tried on one batch before long work (see `eegdecode.training.preflight`). It changes no
        result and is not part of a run's identity.
    find_rate : bool
        Whether the loss at each of many rates is shown before the training. No part of a run's identity either.
    save_every : float or None
        Seconds between two states of a training in work, from which an interrupted one goes on to the bit; the first
        comes after as many, so that short runs write none. 0: after every epoch; None: never. No part of a run's
        identity either.
    states : States or None
        Where they are kept; put here by `DeepTrainer.fit`, as is the next.
    augment : Recombination, Chain or None
        Put here by `DeepTrainer.fit`, so that it goes where the settings go; the experiment describes it by itself.
    """

    epochs: int | None = None
    updates: int = 500
    batch_size: int = 32
    accumulate: int = 1
    lr: float = 1e-3
    weight_decay: float = 0.01
    decay_norms: bool = False
    optimiser: str = "adamw"
    betas: Sequence[float] = (0.9, 0.999)
    schedule: str = "cosine"
    warmup: float = 0.05
    plateau_patience: int = 10
    plateau_factor: float = 0.5
    clip: float | None = 1.0
    sam: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    class_weights: str | None = None
    average: str = "none"
    ema_decay: float = 0.999
    swa_share: float = 0.25
    fine_tune: str = "full"
    layer_factor: float = 2.6
    new_head: bool = True
    adapt_norms: bool = False
    validation: float = 0.2
    select: str = "last"
    patience: int | None = None
    watch_test: bool = False
    precision: str = "float32"
    device: str | Sequence[str] = field(default="auto", repr=False)
    ensemble: str = field(default="auto", repr=False)
    stack: int | str = field(default="auto", repr=False)
    compile: bool = field(default=False, repr=False)
    replay: bool = field(default=True, repr=False)
    workers: int | str | None = field(default=None, repr=False)
    preflight: bool = field(default=True, repr=False)
    find_rate: bool = field(default=False, repr=False)
    save_every: float | None = field(default=60.0, repr=False)
    states: States | None = field(default=None, repr=False)
    augment: Recombination | Chain | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas if isinstance(self.betas, Sequence) else [self.betas]))
        check_words(self)
        check_numbers(self)
        check_unused(self)
        if self.validation == 0 and self.chooses:
            raise ValueError(
                "trainer.select=best_val and trainer.patience need validation trials: set trainer.validation=0.2, "
                "or take trainer.select=last trainer.patience=null"
            )
        if self.average == "swa" and self.chooses:
            raise ValueError(
                "trainer.average=swa is the mean of the last epochs, before which trainer.select=best_val and "
                "trainer.patience may end: take trainer.average=ema, or trainer.select=last trainer.patience=null"
            )
        if self.schedule == "plateau" and self.patience is not None and self.patience <= self.plateau_patience + 1:
            raise ValueError(
                f"trainer.patience={self.patience} ends a training before trainer.schedule=plateau lowers its rate, "
                f"after more than trainer.plateau_patience={self.plateau_patience} epochs: take a larger patience"
            )
        self._check_device()

    def count_epochs(self, n_train: int) -> int:
        """Epochs of a run with so many training trials; of one without any: none."""
        if not n_train:
            return 0
        return self.epochs or -(-self.updates // steps_per_epoch(n_train, self.step_size))

    @property
    def transductive(self) -> bool:
        """Whether test trials, without labels, enter their own predictions."""
        return self.adapt_norms

    @property
    def step_size(self) -> int:
        """Trials of a step, at most."""
        return self.batch_size * self.accumulate

    @property
    def throws(self) -> bool:
        """Whether trials are changed on their way into the networks, so that no two batches are alike."""
        return isinstance(self.augment, Chain) or self.mixup > 0

    @property
    def recombination(self) -> Recombination | None:
        """How artificial trials are put together, if they are."""
        return self.augment.recombination if isinstance(self.augment, Chain) else self.augment

    def _check_device(self) -> None:
        devices = find_devices(self.device)
        if self.precision == "bf16" and "cpu" in devices:
            raise ValueError("trainer.precision=bf16 is for GPUs; take trainer.precision=float32 on a CPU")
        if self.stack != "auto" and not (is_count(self.stack) and self.stack <= MOST):
            raise ValueError(f"trainer.stack must be auto or between 1 and {MOST}, got {self.stack!r}")
        if self.compile and self.mode == "loop":
            raise ValueError(
                "trainer.compile=true is for stacks, and here runs are trained one after the other: take "
                "trainer.ensemble=vectorise, which is the default on a GPU, or trainer.compile=false"
            )
        if self.compile and (self.throws or self.sam or self.accumulate > 1):
            raise ValueError(
                "trainer.compile=true is for plain steps: take trainer.compile=false with augment=chain, "
                "trainer.mixup, trainer.sam and trainer.accumulate"
            )

    def replays(self, device: str) -> bool:
        """Whether steps are recorded on a device of this kind."""
        return self.replay and device == "cuda" and not self.compile

    @property
    def chooses(self) -> bool:
        """Whether validation losses choose the epoch of the weights."""
        return self.select == "best_val" or self.patience is not None

    @property
    def steered(self) -> bool:
        """Whether validation losses choose the epoch or lower the rate."""
        return self.chooses or self.schedule == "plateau"

    @property
    def mode(self) -> str:
        """How a stack is computed: ``vectorise`` or ``loop``."""
        on_gpu = find_devices(self.device)[0].startswith("cuda")
        return ("vectorise" if on_gpu else "loop") if self.ensemble == "auto" else self.ensemble
