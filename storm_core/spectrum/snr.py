"""Signal-to-noise ratio of a weight matrix, with the noise level from random matrix theory.

Shapes: O out, I in, S the shorter of the two.

Sources: Hartford et al., "Spectrum: Targeted Training on Signal to Noise Ratio" (arXiv:2406.06623); Marchenko and
Pastur (1967) for the largest singular value that noise alone produces; Gavish and Donoho (arXiv:1305.5870) for cutting
singular values there.
"""

import math

import torch
from torch import Tensor

# Interquartile range of the standard normal distribution, as the authors round it: range / 1.349 estimates sigma.
NORMAL_INTERQUARTILE_RANGE = 1.349


def signal_to_noise_ratio(weight_OI: Tensor) -> float:
    """SNR of one weight matrix: (sum of singular values above the threshold / sum of the others) / the largest.

    The last division makes it scale as 1/c when the matrix scales as c. Where no singular value but zero lies below the
    threshold there is no noise, and the ratio is infinite; a zero matrix has no signal, and its ratio is 0.

    Raises:
        ValueError: not a matrix with elements, or a weight is NaN or infinite.
    """
    if weight_OI.ndim != 2 or weight_OI.numel() == 0:
        raise ValueError(f"a signal-to-noise ratio is of a matrix with elements, got shape {tuple(weight_OI.shape)}")
    if not bool(torch.isfinite(weight_OI).all()):
        raise ValueError("a weight is NaN or infinite")
    sigma_S = singular_values(weight_OI)
    largest = float(sigma_S[-1])
    if largest == 0.0:
        return 0.0
    signal_S = sigma_S > noise_threshold(sigma_S, weight_OI.shape)
    noise = float(sigma_S[~signal_S].sum())
    if noise == 0.0:
        return math.inf
    return float(sigma_S[signal_S].sum()) / noise / largest


def noise_threshold(sigma_S: Tensor, shape: torch.Size) -> float:
    """The largest singular value that noise of the estimated level explains: sigma * (1 + sqrt(beta)).

    sigma is the interquartile range of the singular values over 1.349; beta is the short side over the long one.
    """
    quartiles = torch.quantile(sigma_S, torch.tensor([0.25, 0.75], dtype=sigma_S.dtype, device=sigma_S.device))
    sigma = float(quartiles[1] - quartiles[0]) / NORMAL_INTERQUARTILE_RANGE
    beta = min(shape) / max(shape)
    return sigma * (1 + math.sqrt(beta))


def singular_values(weight_OI: Tensor) -> Tensor:
    """Singular values, ascending, float64: square roots of the eigenvalues of the Gram matrix of the short side.

    Much faster than a singular value decomposition. Float64 throughout: a float32 Gram matrix is off by up to 1e-3,
    which changes which modules are chosen. Eigenvalues within rounding of zero are taken as zero, so a singular value
    below sqrt(S * 2.2e-16) of the largest counts as zero.
    """
    # Scaled to a largest entry of 1, so that the squares neither overflow nor underflow.
    scale = weight_OI.abs().max().double()
    if float(scale) == 0.0:
        return torch.zeros(min(weight_OI.shape), dtype=torch.float64, device=weight_OI.device)
    weight_64 = weight_OI.double() / scale
    gram_SS = weight_64 @ weight_64.T if weight_64.shape[0] <= weight_64.shape[1] else weight_64.T @ weight_64
    eigenvalue_S = torch.linalg.eigvalsh(gram_SS)
    rounding = float(eigenvalue_S[-1]) * len(eigenvalue_S) * torch.finfo(torch.float64).eps
    return torch.where(eigenvalue_S > rounding, eigenvalue_S, 0.0).sqrt() * scale
