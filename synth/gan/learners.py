"""How translations are learned: pix2pix from pairs, CycleGAN or CUT from two sets of different frames.

Losses and weights are those of the papers: least squares for the discriminators (Mao et al., ICCV 2017), L1 x 100 for
pairs (Isola et al., CVPR 2017), cycle x 10 and identity x 5 (Zhu et al., ICCV 2017), contrasted patches of five layers
with temperature 0.07 (Park et al., ECCV 2020). What is written is the moving average of the generator's weights.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from scenes.sample import Image
from synth.gan.networks import Layout, Norm, PatchDiscriminator, ResnetGenerator, generator, initialise
from synth.gan.pictures import Pictures, sheet

METHODS = ("pix2pix", "cyclegan", "cut")
RATE = 2e-4
BETAS = (0.5, 0.999)
L1, CYCLE, IDENTITY = 100.0, 10.0, 5.0
TEMPERATURE, PATCHES, MEMBERS = 0.07, 256, 256  # of the contrast: locations, and channels they are projected to
AVERAGE = 0.998
POOL = 50  # earlier fakes that discriminators are shown (Shrivastava et al., CVPR 2017)
SHOWN = 4  # previews


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a training is made of.

    method:  pix2pix (pairs), cyclegan or cut
    side:    of the square crops in pixels, a multiple of the generator's
    critics: channels of the discriminators' first layer
    bfloat16: compute in half precision (three times as fast where the processor has AMX)
    """

    method: str
    layout: Layout
    side: int = 128
    batch: int = 4
    rate: float = RATE
    critics: int = 32
    norm_of_critics: Norm = "instance"
    device: str = "cpu"
    bfloat16: bool = True


class GanLearner:
    """Shared by the methods: networks, optimisers, averages, previews."""

    def __init__(self, pictures: Pictures, settings: Settings, *, seed: int) -> None:
        torch.manual_seed(seed)
        self.pictures, self.settings = pictures, settings
        self.networks: dict[str, nn.Module] = {}
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self.build()
        self.averages = {name: copy.deepcopy(self.networks[name]).eval() for name in self.results}
        self._shown = pictures.draw(np.random.default_rng([seed, 2**32]), SHOWN, settings.side)
        self.steps = 0

    results: tuple[str, ...] = ("generator",)

    def build(self) -> None:
        """Make networks and optimisers."""
        raise NotImplementedError

    def learn(self, a: Tensor, b: Tensor) -> Mapping[str, float]:
        """Learn one batch."""
        raise NotImplementedError

    def add(self, name: str, network: nn.Module) -> nn.Module:
        """Keep a network, initialised, on the device."""
        initialise(network)
        self.networks[name] = network.to(self.settings.device).to(memory_format=torch.channels_last)
        return self.networks[name]

    def optimise(self, name: str, *networks: nn.Module) -> None:
        """Make an Adam for some networks."""
        parameters = [p for network in networks for p in network.parameters()]
        self.optimisers[name] = torch.optim.Adam(parameters, lr=self.settings.rate, betas=BETAS)

    def batch(self, rng: np.random.Generator) -> Any:
        return self.pictures.draw(rng, self.settings.batch, self.settings.side)

    def step(self, batch: Any, done: float) -> Mapping[str, float]:
        rate = self.settings.rate * min(1.0, 2.0 * (1.0 - done))  # level for half of the time, then falling to nothing
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = rate
        a, b = (part.to(self.settings.device, memory_format=torch.channels_last) for part in batch)
        losses = self.learn(a, b)
        self._average()
        self.steps += 1
        return losses

    def autocast(self) -> Any:
        """Compute in half precision where it was asked for."""
        return torch.autocast(torch.device(self.settings.device).type, torch.bfloat16, enabled=self.settings.bfloat16)

    def update(self, name: str, loss: Tensor) -> None:
        """One step of an optimiser."""
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        optimiser.step()

    @torch.no_grad()
    def _average(self) -> None:
        stay = min(AVERAGE, (1 + self.steps) / (10 + self.steps))
        for name, averaged in self.averages.items():
            pairs = zip(averaged.state_dict().values(), self.networks[name].state_dict().values(), strict=True)
            for mean, now in pairs:
                mean.lerp_(now, 1 - stay) if mean.is_floating_point() else mean.copy_(now)

    def state(self) -> dict[str, Any]:
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "averages": {name: network.state_dict() for name, network in self.averages.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "steps": self.steps,
            "random": torch.get_rng_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        for part in ("networks", "averages", "optimisers"):
            for name, thing in getattr(self, part).items():
                thing.load_state_dict(state[part][name])
        self.steps = state["steps"]
        torch.set_rng_state(state["random"])

    @torch.no_grad()
    def preview(self) -> Image:
        a, b = self._shown
        made = self.averages["generator"](a.to(self.settings.device)).float().cpu()
        return sheet([[*_pictures(part)] for part in (a, made, b)])

    def finish(self, folder: Path) -> list[Path]:
        files = []
        for name, network in self.averages.items():
            path = folder / f"{name}.safetensors"
            write_generator(network, path)
            files.append(path)
        return files


class Pix2Pix(GanLearner):
    """From exact pairs: near the other picture (L1), and a critic that sees both sides."""

    def build(self) -> None:
        made = self.add("generator", generator(self.settings.layout))
        critic = self.add("critic", PatchDiscriminator(6, self.settings.critics, self.settings.norm_of_critics))
        self.optimise("generator", made)
        self.optimise("critic", critic)

    def learn(self, a: Tensor, b: Tensor) -> Mapping[str, float]:
        made, critic = self.networks["generator"], self.networks["critic"]
        with self.autocast():
            fake = made(a)
            _frozen(critic, frozen=True)
            fools = _squares(critic(torch.cat([a, fake], dim=1)), 1.0)
            near = functional.l1_loss(fake.float(), b)
        self.update("generator", fools + L1 * near)
        _frozen(critic, frozen=False)
        with self.autocast():
            seen = torch.cat([a, fake.detach()], dim=1)
            judged = 0.5 * (_squares(critic(torch.cat([a, b], dim=1)), 1.0) + _squares(critic(seen), 0.0))
        self.update("critic", judged)
        return {"near": near.item(), "fools": fools.item(), "critic": judged.item()}


class CycleGan(GanLearner):
    """From two sets: there and back is where it began."""

    results = ("generator", "generator_back")

    def build(self) -> None:
        self._pools: dict[str, list[Tensor]] = {"critic": [], "critic_back": []}
        there = self.add("generator", generator(self.settings.layout))
        back = self.add("generator_back", generator(self.settings.layout))
        critics = [
            self.add(name, PatchDiscriminator(3, self.settings.critics, self.settings.norm_of_critics))
            for name in ("critic", "critic_back")
        ]
        self.optimise("generator", there, back)
        self.optimise("critic", *critics)

    def learn(self, a: Tensor, b: Tensor) -> Mapping[str, float]:
        there, back = self.networks["generator"], self.networks["generator_back"]
        critics = {name: self.networks[name] for name in ("critic", "critic_back")}
        for critic in critics.values():
            _frozen(critic, frozen=True)
        with self.autocast():
            fake_b, fake_a = there(a), back(b)
            fools = _squares(critics["critic"](fake_b), 1.0) + _squares(critics["critic_back"](fake_a), 1.0)
            cycle = functional.l1_loss(back(fake_b).float(), a) + functional.l1_loss(there(fake_a).float(), b)
            same = functional.l1_loss(there(b).float(), b) + functional.l1_loss(back(a).float(), a)
        self.update("generator", fools + CYCLE * cycle + IDENTITY * same)
        judged = torch.zeros(())
        with self.autocast():
            for (name, critic), real, fake in zip(critics.items(), (b, a), (fake_b, fake_a), strict=True):
                _frozen(critic, frozen=False)
                seen = self._pooled(name, fake.detach())
                judged = judged + 0.5 * (_squares(critic(real), 1.0) + _squares(critic(seen), 0.0))
        self.update("critic", judged)
        return {"cycle": cycle.item(), "identity": same.item(), "fools": fools.item(), "critic": judged.item()}

    def _pooled(self, name: str, fakes: Tensor) -> Tensor:
        """Return fakes of which about half are earlier ones."""
        pool, chosen = self._pools[name], []
        for fake in fakes.float():
            if len(pool) < POOL:
                pool.append(fake)
                chosen.append(fake)
            elif torch.rand(()) < 0.5:
                index = int(torch.randint(POOL, ()))
                chosen.append(pool[index])
                pool[index] = fake
            else:
                chosen.append(fake)
        return torch.stack(chosen)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "pools": self._pools}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._pools = {name: list(pool) for name, pool in state["pools"].items()}


class Projection(nn.Module):
    """Features of chosen places, projected to a sphere: two layers for each depth of the generator."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(c, MEMBERS), nn.ReLU(True), nn.Linear(MEMBERS, MEMBERS)) for c in channels
        )

    def forward(self, features: list[Tensor], places: list[Tensor]) -> list[Tensor]:
        chosen = [f.flatten(2)[:, :, p].transpose(1, 2) for f, p in zip(features, places, strict=True)]
        return [functional.normalize(head(c), dim=2) for head, c in zip(self.heads, chosen, strict=True)]


class Cut(GanLearner):
    """From two sets: what is at a place of the picture is more like that place of its translation than any other."""

    def build(self) -> None:
        made = self.add("generator", generator(self.settings.layout))
        critic = self.add("critic", PatchDiscriminator(3, self.settings.critics, self.settings.norm_of_critics))
        if not isinstance(made, ResnetGenerator):
            raise TypeError("CUT contrasts the layers of a ResNet generator")
        self._layers = self._depths(made)
        side = self.settings.side
        with torch.no_grad():
            features = self._features(torch.zeros(1, 3, side, side, device=self.settings.device))
        projection = self.add("projection", Projection([f.shape[1] for f in features]))
        self.optimise("generator", made)
        self.optimise("critic", critic)
        self.optimise("projection", projection)

    @staticmethod
    def _depths(made: ResnetGenerator) -> list[int]:
        """Return the picture, both halvings, and two of the blocks, as the paper takes them."""
        kinds = list(made.model)
        halved = [i for i, k in enumerate(kinds) if isinstance(k, nn.Conv2d)][1:3]
        blocks = [i for i, k in enumerate(kinds) if hasattr(k, "conv_block")]
        return sorted({0, *halved, blocks[0], blocks[len(blocks) // 2]})

    def _features(self, x: Tensor) -> list[Tensor]:
        made, found = self.networks["generator"], []
        layers: Iterator[nn.Module] = iter(made.model)  # type: ignore[arg-type]  # a Sequential
        for index, layer in enumerate(layers):
            x = layer(x)
            if index in self._layers:
                found.append(x)
            if index == self._layers[-1]:
                break
        return found

    def learn(self, a: Tensor, b: Tensor) -> Mapping[str, float]:
        made, critic = self.networks["generator"], self.networks["critic"]
        _frozen(critic, frozen=True)
        with self.autocast():
            both = made(torch.cat([a, b]))
            fake, same = both[: len(a)], both[len(a) :]
            fools = _squares(critic(fake), 1.0)
            contrast = 0.5 * (self._contrast(a, fake) + self._contrast(b, same))
        self.optimisers["projection"].zero_grad(set_to_none=True)
        self.update("generator", fools + contrast)
        self.optimisers["projection"].step()
        _frozen(critic, frozen=False)
        with self.autocast():
            judged = 0.5 * (_squares(critic(b), 1.0) + _squares(critic(fake.detach()), 0.0))
        self.update("critic", judged)
        return {"contrast": contrast.item(), "fools": fools.item(), "critic": judged.item()}

    def _contrast(self, source: Tensor, translated: Tensor) -> Tensor:
        """Return the PatchNCE loss: each place against the others of its picture."""
        projection = self.networks["projection"]
        keys, queries = self._features(source), self._features(translated)
        places = [torch.randperm(f[0, 0].numel(), device=f.device)[:PATCHES] for f in keys]
        total = torch.zeros((), device=source.device)
        with torch.no_grad():
            wanted = projection([k.detach() for k in keys], places)
        for one, other in zip(projection(queries, places), wanted, strict=True):
            likeness = torch.bmm(one.float(), other.float().transpose(1, 2)) / TEMPERATURE
            truth = torch.arange(likeness.shape[1], device=likeness.device).expand(likeness.shape[:2])
            total = total + functional.cross_entropy(likeness.flatten(0, 1), truth.flatten())
        return total / len(places)


LEARNERS: Mapping[str, type[GanLearner]] = {"pix2pix": Pix2Pix, "cyclegan": CycleGan, "cut": Cut}


def write_generator(network: nn.Module, path: Path) -> None:
    """Write a generator in half precision, in the key layout of the public repositories."""
    state = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    temporary = path.with_suffix(".writing")
    save_file(state, temporary)
    temporary.chmod(0o644)  # safetensors writes for its owner alone
    temporary.replace(path)


def _squares(judged: Tensor, wanted: float) -> Tensor:
    return (judged.float() - wanted).square().mean()


def _frozen(network: nn.Module, *, frozen: bool) -> None:
    for parameter in network.parameters():
        parameter.requires_grad_(not frozen)


def _pictures(batch: Tensor) -> Iterator[Image]:
    pixels = batch.add(1).mul(127.5).add(0.5).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    yield from pixels.contiguous().numpy()
