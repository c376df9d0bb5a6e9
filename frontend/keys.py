"""Every key of the browser session's state, in one place. Widgets are found by these keys."""

from __future__ import annotations

from enum import StrEnum


class Key(StrEnum):
    """Values are what Streamlit stores; a prefix ending in `_` takes a name behind it (see `of`)."""

    # the lens, the same on every page
    MODE = "lens_mode"
    PROFILE = "lens_profile"

    EXPLORE_DATASET = "explore_dataset"
    EXPLORE_CHART = "explore_chart"
    EXPLORE_TABLE = "explore_table"
    EXPLORE_LOG = "explore_log"

    LAUNCH_BACKBONE = "launch_backbone"
    LAUNCH_KIND = "launch_kind"
    LAUNCH_DATASET = "launch_dataset"
    LAUNCH_MASK_NAME = "launch_mask_name"
    LAUNCH_BLOCK = "launch_block_"
    LAUNCH_RECIPE = "launch_recipe"
    LAUNCH_SEEDS = "launch_seeds"
    LAUNCH_OVERRIDE = "launch_override_"
    LAUNCH_SUBMIT = "launch_submit"
    LAUNCH_NONCE = "launch_nonce"
    LAUNCH_SPENT = "launch_spent"

    RUNS_STATE = "runs_state"
    RUNS_DATASET = "runs_dataset"
    RUNS_KIND = "runs_kind"
    RUNS_CURSORS = "runs_cursors"
    RUNS_TABLE = "runs_table"

    RUN_CANCEL = "run_cancel"
    RUN_RETRY = "run_retry"
    RUN_EXAMPLES = "run_examples"
    RUN_CHART = "run_chart_"

    SHARE_DAYS = "share_days"
    SHARE_TWIN = "share_twin"
    SHARE_CREATE = "share_create"
    SHARE_LINK = "share_link"
    SHARE_REVOKE = "share_revoke_"

    def of(self, name: str) -> str:
        """The key of one of several like things: `Key.LAUNCH_BLOCK.of("F4")`."""
        return f"{self.value}{name}"
