"""Schedulers with the settings that the published models of a family use."""

from __future__ import annotations

from typing import Any

import diffusers


def flow(**settings: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(**settings)


def flow_to_terminal(terminal: float, **settings: Any) -> Any:
    """Return a scheduler whose last step is at `terminal`. One step alone is at NaN."""
    return flow(use_dynamic_shifting=True, shift_terminal=terminal, **settings)


def dpm_flow(shift: float = 3.0) -> Any:
    """Return Sana's scheduler."""
    return diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )


def dpm_trailing(**settings: Any) -> Any:
    return diffusers.DPMSolverMultistepScheduler(timestep_spacing="trailing", **settings)


def unipc_flow(shift: float) -> Any:
    """Return Wan's scheduler."""
    return diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )


def euler_leading() -> Any:
    """Return SDXL's scheduler."""
    return diffusers.EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        timestep_spacing="leading",
    )
