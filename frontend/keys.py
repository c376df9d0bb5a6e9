"""Every key of the browser session's state, in one place. Widgets are found by these keys."""

from __future__ import annotations

from enum import StrEnum


class Key(StrEnum):
    """Values are what Streamlit stores; a prefix ending in `_` takes a name behind it (see `of`)."""

    PAGE = "page_shown"
    STAYED = "page_stayed"  # whether the run of the script before this one drew the same page

    # the lens, the same on every page
    MODE = "lens_mode"
    PROFILE = "lens_profile"
    PRICE = "lens_price_"  # of: ac, mac, memory; how many times the profile's own

    EXPLORE_DATASET = "explore_dataset"
    EXPLORE_CHART = "explore_chart"
    EXPLORE_TABLE = "explore_table"
    EXPLORE_LOG = "explore_log"
    EXPLORE_X = "explore_x"
    EXPLORE_Y = "explore_y"
    EXPLORE_COLOUR = "explore_colour"
    EXPLORE_SHAPE = "explore_shape"
    EXPLORE_SEEDS = "explore_seeds"
    EXPLORE_STEPS = "explore_steps"
    EXPLORE_AT_MOST = "explore_at_most"  # uJ
    EXPLORE_SURE = "explore_sure"
    EXPLORE_ADDRESS = "explore_address"  # the view as the address bar had it last
    EXPLORE_HYPERVOLUME = "explore_hypervolume"
    EXPLORE_CLEAR = "explore_clear"
    EXPLORE_COMPARE = "explore_compare"
    EXPLORE_PAGE = "explore_page"
    EXPLORE_FILTER = "explore_filter_"  # of: kind, backbone, recipe, tag, mask
    EXPLORE_ARCHIVED = "explore_archived"
    EXPLORE_HIDDEN = "explore_hidden"  # names of the legend that are not drawn
    EXPLORE_ARCHIVE = "explore_archive"
    EXPLORE_CHANGED = "explore_changed"
    EXPLORE_VIEW = "explore_view_"  # of: chosen, name, save, open, forget

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
    LAUNCH_DEFINITION = "launch_definition"
    LAUNCH_ROW = "launch_row"
    LAUNCH_ADDRESS = "launch_address"  # the row as the address bar had it last
    LAUNCH_FROM = "launch_from"  # the run that the form was filled from, as the address bar had it last
    LAUNCH_REPEAT = "launch_repeat"
    LAUNCH_PRIORITY = "launch_priority"
    LAUNCH_PROJECT = "launch_project"
    LAUNCH_LONG = "launch_long"  # the long launch that was asked for once
    LAUNCH_SWEEP_BACKBONES = "launch_sweep_backbones"
    LAUNCH_SWEEP_MASKS = "launch_sweep_masks"
    LAUNCH_SWEEP_FIELDS = "launch_sweep_fields"
    LAUNCH_SWEEP_VALUES = "launch_sweep_values_"
    LAUNCH_SWEEP_STUDY = "launch_sweep_study"
    LAUNCH_SWEEP_TRIALS = "launch_sweep_trials"
    LAUNCH_SWEEP_NAME = "launch_sweep_name"
    LAUNCH_ADD_MASK = "launch_add_mask"
    LAUNCH_SUGGEST = "launch_suggest"
    LAUNCH_USE = "launch_use_"
    LAUNCH_NEURON = "launch_neuron"

    RUNS_STATE = "runs_state"
    RUNS_DATASET = "runs_dataset"
    RUNS_KIND = "runs_kind"
    RUNS_SHOW = "runs_show"
    RUNS_TAGS = "runs_tags"
    RUNS_Q = "runs_q"
    RUNS_BACKBONE = "runs_backbone"
    RUNS_RECIPE = "runs_recipe"
    RUNS_TAG = "runs_tag"
    RUNS_SWEEP = "runs_sweep"
    RUNS_SUBMITTER = "runs_submitter"
    RUNS_PROJECT = "runs_project"
    RUNS_ADDRESS = "runs_address"  # the filters as the address bar had them last
    RUNS_CURSORS = "runs_cursors"
    RUNS_AS = "runs_as"  # table or cards
    RUNS_GROUP = "runs_group"
    RUNS_COLUMNS = "runs_columns"
    RUNS_ARCHIVED = "runs_archived"
    RUNS_TABLE = "runs_table_"
    RUNS_KEPT = "runs_kept"  # the table's rows as they were read last
    RUNS_TURN = "runs_turn"  # rises with each act of this tab, which the table then shows
    RUNS_CHOSEN = "runs_chosen"  # run id -> label, in the order of choosing
    RUNS_CHOOSE = "runs_choose_"
    RUNS_CHOOSE_PAGE = "runs_choose_page"
    RUNS_BULK = "runs_bulk_"
    RUNS_NOTICE = "runs_notice"
    RUNS_MORE = "runs_more_"
    RUNS_RESTORE = "runs_restore_"
    RUNS_OPEN = "runs_open"  # the run whose dialog is open
    RUNS_EDIT = "runs_edit_"
    RUNS_FORK = "runs_fork_"
    RUNS_SWEEP_ACT = "runs_sweep_act_"
    RUNS_IMPORT = "runs_import"
    RUNS_IMPORTING = "runs_importing"  # whether the dialog for it was opened by this turn
    RUNS_UPLOAD = "runs_upload"

    RUN_ADDRESS = "run_address"  # the lens as the address bar had it last
    RUN_ACT = "run_act_"
    RUN_CANCEL = "run_cancel"
    RUN_PRIORITY = "run_priority_"
    RUN_RETRY = "run_retry"
    RUN_EXAMPLES = "run_examples"
    RUN_AT_MOST = "run_at_most"  # uJ
    RUN_WITHIN = "run_within"  # points of accuracy
    RUN_CHART = "run_chart_"
    RUN_SECTION = "section"  # stands in the address as it is
    RUN_SMOOTHING = "run_smoothing"
    RUN_LOG_Y = "run_log_y"
    RUN_LOG = "run_log"
    RUN_NOTIFY = "run_notify_"
    RUN_NOTIFIES = "run_notifies"  # ids of runs whose end is to be told of
    RUN_TRUTH = "run_truth"
    RUN_ANSWER = "run_answer"
    RUN_CELL = "run_cell"
    RUN_MORE = "run_more"
    RUN_IMAGE = "run_image"
    RUN_QUANTITY = "run_quantity"
    RUN_EPOCH = "run_epoch"
    RUN_ROBUST = "run_robust_"  # of: images, measure, csv
    RUN_FILE = "run_file_"

    TRY_RUN = "try_run"
    TRY_SOURCE = "try_source"
    TRY_WHICH = "try_which"
    TRY_GALLERY = "try_gallery"
    TRY_IMAGE = "try_image_"
    TRY_UPLOAD = "try_upload"
    TRY_SOUND = "try_sound"
    TRY_CLIP = "try_clip"
    TRY_RECORDING = "try_recording"
    TRY_INVERT = "try_invert"
    TRY_AGAIN = "try_again"
    TRY_ASKED = "try_asked"
    TRY_RESULT = "try_result"
    TRY_CONTROLS = "try_controls"
    TRY_BUTTON = "try_button"
    TRY_PLAY = "try_play"
    TRY_STEP = "try_step"
    TRY_NETWORK = "try_network"
    TRY_CHART = "try_chart_"
    TRY_MEMBRANE = "try_membrane"
    TRY_NEURON = "try_neuron_"
    TRY_TRACE = "try_trace"

    SWEEP_CHART = "sweep_chart_"
    SWEEP_QUANTITY = "sweep_quantity"
    SWEEP_ACT = "sweep_act_"
    SWEEP_CHOSEN = "sweep_chosen"  # places of the groups to compare

    COMPARE_ADDRESS = "compare_address"  # the lens as the address bar had it last
    COMPARE_ADDRESS_RUNS = "compare_address_runs"  # the runs as the address bar had them last
    COMPARE_RUNS = "compare_runs"  # ids in order; the first is what the others are held against
    COMPARE_PICK = "compare_pick"
    COMPARE_FIND = "compare_find"
    COMPARE_BASE = "compare_base"
    COMPARE_EPOCH = "compare_epoch"
    COMPARE_OTHER = "compare_other"
    COMPARE_FIRST = "compare_first"  # of two that answer together: the one that answers first
    COMPARE_SECOND = "compare_second"
    COMPARE_CHART = "compare_chart_"
    COMPARE_FIGURES = "compare_figures"

    AUDIT_SOURCE = "audit_source"
    AUDIT_TABLE = "audit_table"
    AUDIT_VERDICT = "audit_verdict"
    AUDIT_DATASET = "audit_dataset"
    AUDIT_QUANTITY = "audit_quantity"
    AUDIT_PAGE = "audit_page"
    AUDIT_FILE = "audit_file"
    AUDIT_CHART = "audit_chart_"
    AUDIT_EXPORT = "audit_export"

    SHARE_DAYS = "share_days"
    SHARE_FROZEN = "share_frozen"
    SHARE_BLIND = "share_blind"
    SHARE_IMAGES = "share_images"
    SHARE_WEIGHTS = "share_weights"
    SHARE_TWIN = "share_twin"
    SHARE_CREATE = "share_create"
    SHARE_FREEZE = "share_freeze"
    SHARE_LINK = "share_link"
    SHARE_REVOKE = "share_revoke_"
    SHARE_OVER = "share_over"
    SHARE_PAGE = "share_page"
    SHARE_NEW_TYPE = "share_new_type"
    SHARE_NEW_RUNS = "share_new_runs"
    SHARE_NEW_RUN = "share_new_run"
    SHARE_NEW_SWEEP = "share_new_sweep"
    SHARE_NEW_DATASET = "share_new_dataset"

    TAKE_UP = "take_up"

    ACCOUNT_CHANGE = "account_change_"  # a password; of: form, current, new, again
    ACCOUNT_ISSUE = "account_issue_"  # a token; of: form, name, scope, days, owner
    ACCOUNT_REVOKE = "account_revoke_"
    ACCOUNT_NEW = "account_new_"  # of: form, name, password, role
    ACCOUNT_ROLE = "account_role_"
    ACCOUNT_DISABLE = "account_disable_"
    ACCOUNT_LOG = "account_log"  # the cursor of the page of the audit log that is shown
    ACCOUNT_OLDER = "account_older"
    ACCOUNT_NEWEST = "account_newest"

    DATA_FILE = "data_file"
    DATA_NAME = "data_name"
    DATA_SIZE = "data_size"
    DATA_MIRRORS = "data_mirrors"
    DATA_ADD = "data_add"
    DATA_ADDED = "data_added"  # what was added last, until a page has told of it
    DATA_CLASS = "data_class_"
    DATA_FETCH = "data_fetch_"
    DATA_CANCEL = "data_cancel_"
    DATA_OPEN = "data_open"
    DATA_WALL = "data_wall_"

    def of(self, name: str) -> str:
        """The key of one of several like things: `Key.LAUNCH_BLOCK.of("F4")`."""
        return f"{self.value}{name}"
