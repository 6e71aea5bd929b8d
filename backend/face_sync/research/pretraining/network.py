"""The audio-visual encoder in training: audio and video in one lip space, and its losses (Eq. 1 to 3)."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...encoders.speech_encoder import MEMBER_SIZE, MEMBERS, SIZE, SpeechEncoder
from .generated_speech import CURVES, OPENING_MM, VISEMES
from .prepared import CONTEXT, FACE_SIDE

TRUNK = 256
"""Features of Conv_v(F) in Eq. 3: the face, of which the lip space keeps what correlates with the audio."""


def similarity(seen: Tensor, heard: Tensor) -> Tensor:
    """Eq. 1: sim(F, A) = F·A / (‖F‖₂ ‖A‖₂); (…, D) twice to (…) in [-1, 1]."""
    return functional.cosine_similarity(seen, heard, dim=-1, eps=1e-6)


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
    """The speech encoder with the visual encoder, the sync discriminator and the decoders.

    For clips, the visual input is a face window, and Eq. 3's decoder reconstructs the face; for generated speech it is a
    window of mouth curves, which are reconstructed from the audio alone, with the viseme.
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
        # A head per member, so that they stay independent.
        self.visemes = nn.Conv1d(SIZE, MEMBERS * len(VISEMES), 1, groups=MEMBERS)
        self.curves = nn.Conv1d(SIZE, MEMBERS * len(CURVES), 1, groups=MEMBERS)
        # A trained scale and threshold turn the cosine into a logit.
        self.scale = nn.Parameter(torch.tensor(5.0))
        self.threshold = nn.Parameter(torch.tensor(0.2))

    def sync_logit(self, seen: Tensor, heard: Tensor) -> Tensor:
        """(…, MEMBERS) logits of "these belong together" of (…, SIZE) twice: Eq. 1 of each member, scaled."""
        seen, heard = (code.unflatten(-1, (MEMBERS, MEMBER_SIZE)) for code in (seen, heard))
        return self.scale.abs() * (similarity(seen, heard) - self.threshold)

    def opening_weights(self) -> Tensor:
        """(SIZE,) how far an adult's lips open, millimetres, by the curves of generated speech."""
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
        cross_entropy = functional.softplus(-together) + functional.softplus(apart)
        losses["sync"] = 0.5 * (cross_entropy * valid).sum() / valid.sum().clamp(min=1)
        losses["sync_accuracy"] = ((together > apart) * valid).sum() / valid.sum().clamp(min=1)
        return losses
