"""The audio-visual encoder in training: sound and sight into one lip space, and what teaches it (Eq. 1 to 3)."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...encoders.speech_encoder import MEMBER_SIZE, MEMBERS, SIZE, SpeechEncoder
from .generated_speech import CURVES, OPENING_MM, VISEMES
from .prepared import CONTEXT, FACE_SIDE

TRUNK = 256
"""Numbers of Conv_v(F) in Eq. 3: the face itself, of which the lip space keeps what sound tells."""


def similarity(sight: Tensor, sound: Tensor) -> Tensor:
    """Eq. 1: sim(F, A) = F·A / (‖F‖₂ ‖A‖₂); (…, D) twice to (…) in [-1, 1]."""
    return functional.cosine_similarity(sight, sound, dim=-1, eps=1e-6)


class _FaceTrunk(nn.Module):
    """(B, 2 * CONTEXT + 1, FACE_SIDE, FACE_SIDE) face windows in [-1, 1] to (B, TRUNK)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        widths = (2 * CONTEXT + 1, 24, 48, 96, 128)
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.GELU()]
        self.convolutions = nn.Sequential(*layers)
        self.leave = nn.Linear(128 * (FACE_SIDE // 16) ** 2, TRUNK)

    def forward(self, windows: Tensor) -> Tensor:
        return functional.gelu(self.leave(self.convolutions(windows).flatten(1)))


class _FaceDecoder(nn.Module):
    """(B, TRUNK + SIZE) to (B, FACE_SIDE, FACE_SIDE) in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(TRUNK + SIZE, 128 * (FACE_SIDE // 16) ** 2)
        layers: list[nn.Module] = []
        for before, after in ((128, 96), (96, 48), (48, 24), (24, 16)):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1), nn.GELU()]
        self.convolutions = nn.Sequential(*layers, nn.Conv2d(16, 1, 3, padding=1), nn.Tanh())

    def forward(self, code: Tensor) -> Tensor:
        square = FACE_SIDE // 16
        return self.convolutions(functional.gelu(self.enter(code)).reshape(-1, 128, square, square))[:, 0]


class AudioVisualEncoder(nn.Module):
    """The speech encoder with the side that sees, the sync discriminator and the decoders.

    Of clips, sight is a window of face pictures and Eq. 3's decoder draws the face; of generated speech, sight is a
    window of mouth curves, which the decoder gives back from sound alone, with the viseme.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = SpeechEncoder()
        self.face = _FaceTrunk()
        self.decoder = _FaceDecoder()
        self.shape = nn.Sequential(
            nn.Linear(len(CURVES) * (2 * CONTEXT + 1), TRUNK), nn.GELU(), nn.Linear(TRUNK, TRUNK)
        )
        self.face_to_lips = nn.Linear(TRUNK, SIZE)
        self.shape_to_lips = nn.Linear(TRUNK, SIZE)
        # A head for each member, so that none leans on another.
        self.visemes = nn.Conv1d(SIZE, MEMBERS * len(VISEMES), 1, groups=MEMBERS)
        self.curves = nn.Conv1d(SIZE, MEMBERS * len(CURVES), 1, groups=MEMBERS)
        # A cosine is no probability: the discriminator reads it through a learnt scale and threshold.
        self.scale = nn.Parameter(torch.tensor(5.0))
        self.threshold = nn.Parameter(torch.tensor(0.2))

    def sync_logit(self, sight: Tensor, sound: Tensor) -> Tensor:
        """(…, MEMBERS) logits of "these belong together" of (…, SIZE) twice: Eq. 1 of each member, scaled."""
        sight, sound = (code.unflatten(-1, (MEMBERS, MEMBER_SIZE)) for code in (sight, sound))
        return self.scale.abs() * (similarity(sight, sound) - self.threshold)

    def opening_weights(self) -> Tensor:
        """(SIZE,) how far an adult's lips open, millimetres, by the curves that generated speech taught."""
        opening = torch.tensor([OPENING_MM.get(name, 0.0) for name in CURVES], device=self.curves.weight.device)
        weight = self.curves.weight[..., 0].unflatten(0, (MEMBERS, len(CURVES)))  # (MEMBERS, C, MEMBER_SIZE)
        return torch.einsum("c,mcs->ms", opening, weight).flatten() / MEMBERS

    def see(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Lip code (B, SIZE) and trunk (B, TRUNK) of face windows."""
        trunk = self.face(windows)
        return self.face_to_lips(trunk), trunk

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The losses of a batch from `batches`: `sync` (Eq. 2) and `reconstruction` (Eq. 3), and of generated speech
        `visemes`."""
        code = self.encoder(batch["features"])
        rows = torch.arange(len(code), device=code.device)[:, None]
        heard, shifted = code[rows, batch["at"]], code[rows, batch["elsewhere"]]
        losses = {}
        if "windows" in batch:
            count = batch["at"].shape
            lips, trunk = self.see(batch["windows"].flatten(0, 1))
            lips = lips.reshape(*count, -1)
            drawn = self.decoder(torch.cat([trunk, heard.flatten(0, 1)], 1))
            truth = batch["windows"].flatten(0, 1)[:, CONTEXT]
            losses["reconstruction"] = (drawn - truth).abs().mean()
        else:
            by_time = code.transpose(1, 2)
            curves = batch["curves"].transpose(1, 2)[:, None]  # (B, 1, C, WINDOW)
            known = ~torch.isnan(curves)
            drawn = self.curves(by_time).unflatten(1, (MEMBERS, len(CURVES)))
            error = (drawn - torch.nan_to_num(curves)) / batch["spread"][:, None]
            error = error.masked_select(known)
            losses["reconstruction"] = functional.smooth_l1_loss(error, torch.zeros_like(error))
            classes = self.visemes(by_time).unflatten(1, (MEMBERS, len(VISEMES))).flatten(0, 1)
            truth = batch["visemes"].repeat_interleave(MEMBERS, 0)
            losses["visemes"] = functional.cross_entropy(classes, truth, ignore_index=-100)
            lips = self.shape_to_lips(functional.gelu(self.shape(batch["shapes"])))
        together, apart = self.sync_logit(lips, heard), self.sync_logit(lips, shifted)
        valid = batch["known"][..., None].expand(together.shape)
        # Eq. 2: -(y log p + (1 - y) log(1 - p)), as many pairs in sync as out of it.
        told = functional.softplus(-together) + functional.softplus(apart)
        losses["sync"] = 0.5 * (told * valid).sum() / valid.sum().clamp(min=1)
        losses["sync_accuracy"] = ((together > apart) * valid).sum() / valid.sum().clamp(min=1)
        return losses
