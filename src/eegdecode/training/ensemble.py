"""R networks of one shape held as one. The only file that knows ``torch.func``."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

MODES = ("loop", "vectorise")


def computed_buffers(network: nn.Module) -> set[str]:
    """Buffers that a network makes of its sizes and settings, as the places of electrodes; it learns none of them."""
    return {name for name, _ in network.named_buffers()} - network.state_dict().keys()


class Ensemble:
    """Networks of equal shape with their parameters and buffers stacked along a first axis, the run axis.

    Parameters
    ----------
    networks : sequence of nn.Module
        One a run. They are copied.
    mode : {"loop", "vectorise"}
        ``vectorise`` computes all at once by ``vmap``; ``loop`` one after the other, the way for a
        network that cannot be vmapped. The results are the same, dropout apart.
    device : str
        Where the stack lives.

    Attributes
    ----------
    params : dict of str to Tensor
        Name -> (R, ...), leaves that require a gradient.
    buffers : dict of str to Tensor
        Name -> (R, ...), running statistics and rates, updated in place in training; and what is frozen.
    names : list of str
        All parameters, frozen ones too, front to head.
    """

    def __init__(self, networks: Sequence[nn.Module], *, mode: str, device: str) -> None:
        if mode not in MODES:
            raise ValueError(f"ensemble mode must be one of {MODES}, got {mode!r}")
        self.mode = mode
        self._skeleton = copy.deepcopy(networks[0]).to("meta")
        params, buffers = stack_module_state(list(networks))
        self.params = {name: p.detach().to(device).requires_grad_() for name, p in params.items()}
        self.buffers = {name: b.to(device) for name, b in buffers.items()}
        self.names, self.n_runs = list(self.params), len(networks)
        own = [(module, module.named_buffers(recurse=False)) for module in self._skeleton.modules()]
        self._norms = [module for module, buffers in own if "running_mean" in dict(buffers)]
        self._frozen: list[nn.Module] = []

    @property
    def computed(self) -> set[str]:
        """Buffers that are no part of the weights, see `computed_buffers`."""
        return computed_buffers(self._skeleton)

    @property
    def has_batch_norm(self) -> bool:
        """Whether the networks normalise by statistics of trials."""
        return bool(self._norms)

    @property
    def takes_lengths(self) -> bool:
        """Whether the networks take trials that are padded to the length of the training."""
        return "valid_lens" in inspect.signature(self._skeleton.forward).parameters

    def freeze(self, names: Sequence[str]) -> None:
        """Take some parameters out of the learning, and keep modules that have no other ones in evaluation mode.

        So they give in training what they give in the test: no dropout, and batch norm by its running statistics.
        """
        self.buffers |= {name: p.detach() for name, p in self.params.items() if name in names}
        self.params = {name: p for name, p in self.params.items() if name not in names}
        whole = ((name, module, dict(module.named_parameters())) for name, module in self._skeleton.named_modules())
        self._frozen = [m for name, m, own in whole if own and all(f"{name}.{each}" in names for each in own)]

    def __call__(
        self, x: Float[Tensor, "run batch chan time"], *, train: bool, memory: Tensor | None = None,
        adapt: bool = False, valid_lens: Int[Tensor, "run batch"] | None = None,
    ) -> Float[Tensor, "run batch class"]:    # fmt: skip
        """Logits of each network for its own batch; ``memory`` is what `remember` gave for these trials.

        With ``adapt`` batch norm takes the statistics of the batch, in evaluation too. ``valid_lens`` are the samples
        of trials that are padded, for networks that ask for them.
        """
        self._skeleton.train(train)
        for module in self._frozen:
            module.eval()
        for module in self._norms if adapt else ():
            module.training = True
        inputs = (x,) if memory is None else (x, memory)
        named = {} if valid_lens is None else {"valid_lens": valid_lens}
        if self.mode == "vectorise":
            return vmap(self._forward, randomness="different")(self.params, self.buffers, inputs, named)
        return torch.stack([
            self._forward(
                {name: p[run] for name, p in self.params.items()},
                {name: b[run] for name, b in self.buffers.items()},
                tuple(each[run] for each in inputs),
                {name: each[run] for name, each in named.items()},
            )
            for run in range(self.n_runs)
        ])

    def _forward(
        self, params: dict[str, Tensor], buffers: dict[str, Tensor], inputs: tuple[Tensor, ...],
        named: dict[str, Tensor],
    ) -> Tensor:    # fmt: skip
        return functional_call(self._skeleton, (params, buffers), inputs, named)

    def remember(self, x: Float[Tensor, "batch chan time"]) -> Tensor | None:
        """What the network computes of each trial without any parameter, (B, ...); None if it has no such thing."""
        ask = getattr(self._skeleton, "remember", None)
        return ask(x) if ask else None

    def gradients(self, loss: Float[Tensor, " run"]) -> dict[str, Tensor]:
        """Gradient of each run's loss with respect to its own parameters: name -> (R, ...)."""
        grads = torch.autograd.grad(loss.sum(), list(self.params.values()), allow_unused=True)
        pairs = zip(self.params.items(), grads, strict=True)
        return {name: torch.zeros_like(p) if g is None else g for (name, p), g in pairs}

    def state(self) -> dict[str, Tensor]:
        """Return a copy of all parameters and buffers: name -> (R, ...)."""
        return {name: t.detach().clone() for name, t in {**self.params, **self.buffers}.items()}

    def take(self, places: Int[Tensor, " place"]) -> Ensemble:
        """Return an ensemble of copies of some of the networks."""
        part = copy.copy(self)
        part.params = {name: p.detach()[places].requires_grad_() for name, p in self.params.items()}
        part.buffers = {name: b[places] for name, b in self.buffers.items()}
        part.n_runs = len(places)
        return part

    def having(self, state: Mapping[str, Tensor]) -> Ensemble:
        """Return an ensemble of the same networks with these parameters and buffers."""
        other = copy.copy(self)
        other.params, other.buffers = ({name: state[name] for name in mine} for mine in (self.params, self.buffers))
        return other

    def load(self, state: dict[str, Tensor]) -> None:
        """Put a copy made by `state` back."""
        with torch.no_grad():
            for name, t in {**self.params, **self.buffers}.items():
                t.copy_(state[name])
