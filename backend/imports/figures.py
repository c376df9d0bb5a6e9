"""What an uploaded bundle says of the test set and of the network: held against its config's plan, its data set and itself.

The bounds are the trainer's: what no run of this config can have counted, answered or summed up is refused.
"""

from __future__ import annotations

import re

import numpy as np

from backend.imports.refusals import close, require, same, within
from backend.problems import UploadCorrupt
from core.analysis.confusion import accuracy, confusion, f1_macro
from core.analysis.predictions import predict
from core.backbones.plan import Plan
from core.bundle import Bundle, Predictions
from core.datasets.catalog import DATASETS
from core.datasets.class_names import MAX_LENGTH
from core.datasets.spec import DatasetSpec
from core.datasets.splits import split_sizes
from core.energy.modes import MODES
from core.energy.planned import planned_layers
from core.energy.price import firing_rate, price
from core.energy.profiles import profiles
from core.energy.rules import NEURONS, SYNAPTIC
from core.schemas.recount import Recount
from core.schemas.results import PER_STEP, Counts, LayerCounts, Summary
from core.schemas.run import Kind, RunConfig
from core.schemas.search import SearchFound
from core.search_costs import with_bits

CONFIG, COUNTS, SUMMARY = "config.json", "counts.json", "summary.json"
PREDICTIONS, EXAMPLES = "predictions.npz", "examples.npz"
PER_SAMPLE, WEIGHTS, RECOUNT = "counts_per_sample.npz", "weights.safetensors", "recount.json"
HEADERS = 1 << 16  # bytes of the headers of a file's arrays
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.+-]{0,63}", re.ASCII)  # a recipe's name: it stands in tables and commands
LONGEST_S = 1e9  # thirty years of training
FASTEST = 1e12  # images a second


def trained_on(config: RunConfig) -> DatasetSpec:
    """The data set of a config, which a trainer can read. Raises UnknownName."""
    spec = DATASETS[config.dataset]
    expected = "a data set that can be trained on; networks for this one can only be counted"
    require(CONFIG, "dataset", config.dataset, spec.reader is not None, expected)
    return spec


def check_config(config: RunConfig, plan: Plan) -> None:
    """What the schema leaves open: the recipe's name is a label, and the mask is in network order."""
    expected = "at most 64 letters, digits, spaces, _ . + and -, beginning with a letter or digit"
    require(CONFIG, "recipe", config.recipe, WORD.fullmatch(config.recipe) is not None, expected)
    same(CONFIG, {"mask": (config.mask, plan.mask)}, source="the backbone's order is")


def params_of(config: RunConfig, plan: Plan) -> int:
    """Parameters that are trained: those of the plan, and what the neurons of each layer learn."""
    return plan.params + len(learned(config)) * sum(node.op == "act" for node in plan.nodes)


def learned(config: RunConfig) -> tuple[str, ...]:
    """What one layer of neurons learns, by its name in the weights (`core.engine.neurons.Learned`)."""
    if config.kind is Kind.CNN:
        return ()
    neuron = config.neuron
    learns = {"w": neuron.model == "plif", "log_threshold": neuron.learn_threshold or neuron.model == "count"}
    return tuple(name for name, is_learned in learns.items() if is_learned)


def most_bytes(config: RunConfig, plan: Plan, n: int) -> dict[str, int]:
    """The most that the arrays of a run of this config on n test images take, unpacked."""
    synaptic = sum(node.op in SYNAPTIC for node in plan.nodes)
    acts = sum(node.op == "act" for node in plan.nodes)
    numbers = n * config.steps  # of one quantity of one layer
    _, height, width = plan.input_shape
    names = 4 * MAX_LENGTH * (plan.n_classes + len(plan.nodes))
    return {
        PREDICTIONS: 4 * numbers * plan.n_classes + 16 * n + names + HEADERS,
        PER_SAMPLE: 8 * numbers * (3 * synaptic + acts) + names + HEADERS,
        EXAMPLES: n * (8 + 3 * height * width) + HEADERS,
        # each channel of a normalisation has two statistics beside its two parameters
        # and each weight of a compressed one may have a score
        WEIGHTS: 12 * params_of(config, plan) + 1000 * len(plan.nodes) + HEADERS,
    }


def check_counts(counts: Counts, config: RunConfig, plan: Plan, found: SearchFound | None = None) -> None:
    """Layer for layer the plan's, with the bits that a search found, and nothing counted that this network cannot do on so many images."""
    told = {
        "kind": (counts.kind, config.kind),
        "time_steps": (counts.time_steps, config.steps),
        "layer_synchronous": (counts.layer_synchronous, config.layer_synchronous),
    }
    same(COUNTS, told)
    decoded = None if found is None else found.decoded
    compression = config.compression if decoded is None else with_bits(config, decoded.block_bits)
    planned = planned_layers(plan, config.kind, config.neuron.model, compression)
    names = [layer.name for layer in counts.layers]
    wanted = [layer.name for layer in planned]
    if names != wanted:
        place = next((i for i, pair in enumerate(zip(names, wanted, strict=False)) if pair[0] != pair[1]), len(names))
        first = tuple(all_of[place] if place < len(all_of) else "missing" for all_of in (names, wanted))
        same(COUNTS, {f"layer {place + 1}": (first[0], first[1])}, source="the config's network has")
        same(COUNTS, {"the number of layers": (len(names), len(wanted))}, source="the config's network has")
    for layer, true in zip(counts.layers, planned, strict=True):
        _check_layer(layer, true, counts)


def _check_layer(layer: LayerCounts, planned: LayerCounts, counts: Counts) -> None:
    for name in type(layer).model_fields:
        said, true = getattr(layer, name), getattr(planned, name)
        # told before it was known: spikes through a pool of one pixel, the shift that a normalisation leaves
        earlier = (name == "input_is_spikes" and not said) or (name == "bias_ops" and planned.kind == "bn" and not said)
        if name not in PER_STEP and not earlier:
            same(COUNTS, {f"{name} of {layer.name}": (said, true)}, source="the config's network has")
    n, spiking = counts.n_samples, counts.kind is Kind.SNN
    charged = "ac" if layer.input_is_spikes else "mac"
    places = {
        "ac": layer.dense_ops if charged == "ac" else 0,
        "mac": layer.dense_ops if charged == "mac" else 0,
        "input_nonzero": layer.input_numel,
        "spikes": layer.output_numel if spiking and layer.kind in NEURONS else 0,
    }
    needed = {charged, "input_nonzero"} if layer.kind in SYNAPTIC else {"spikes"} if places["spikes"] else set()
    for name, most in places.items():
        counted, field = getattr(layer, name), f"{name} of {layer.name}"
        require(COUNTS, field, counted, bool(counted) or name not in needed, f"{counts.time_steps} numbers, one a step")
        top = max(counted, default=0)
        require(COUNTS, field, top, top <= most * n, f"at most {most * n:,}: {most:,} in each of {n:,} images")


def check_energy(counts: Counts, summary: Summary) -> None:
    """What the summary says of energy and spikes is recomputed from the integers; every other mode must apply too."""
    tally = MODES[summary.mode].tally(counts)
    told = {
        "acs": (summary.acs, tally.acs),
        "macs": (summary.macs, tally.macs),
        "energy_pj": (summary.energy_pj, price(tally, profiles()[summary.profile])),
        "firing_rate": (summary.firing_rate, firing_rate(counts)),
    }
    close(SUMMARY, told, source="counts.json gives")
    for mode in MODES.values():
        mode.tally(counts)


def check_summary(summary: Summary, counts: Counts, config: RunConfig, plan: Plan, spec: DatasetSpec) -> None:
    """Names and sizes as the config, its plan and its data set have them."""
    same(
        SUMMARY,
        {
            "config_hash": (summary.config_hash, config.config_hash),
            "backbone": (summary.backbone, config.backbone),
            "kind": (summary.kind, config.kind),
            "mask": (summary.mask, config.mask),
            "dataset": (summary.dataset, config.dataset),
            "recipe": (summary.recipe, config.recipe),
            "seed": (summary.seed, config.seed),
            "time_steps": (summary.time_steps, config.steps),
            "layer_synchronous": (summary.layer_synchronous, config.layer_synchronous),
            "params": (summary.params, params_of(config, plan)),
            "n_test": (summary.n_test, counts.n_samples),
        },
    )
    _check_sizes(summary, config, spec)
    if summary.data_digest is not None:
        whole = summary.dataset_complete and spec.name in DATASETS.built_in
        expected = "empty for a whole published data set, and for no other"
        require(SUMMARY, "data_digest", summary.data_digest, (summary.data_digest == "") == whole, expected)
    for name, most in (("train_wall_s", LONGEST_S), ("evaluate_wall_s", LONGEST_S), ("train_images_per_s", FASTEST)):
        within(SUMMARY, name, getattr(summary, name), 0, most)
    fits = 1 <= len(summary.device) <= 255 and summary.device.isprintable()
    require(SUMMARY, "device", summary.device, fits, "1 to 255 printable characters")


def _check_sizes(summary: Summary, config: RunConfig, spec: DatasetSpec) -> None:
    """Numbers of images, which the split decides alone, of no more than the data set has."""
    whole = {"n_test": (summary.n_test, spec.n_test)}
    seen = summary.n_train_available + summary.n_validation
    whole["n_train_available and n_validation together"] = (seen, spec.n_train)
    for name, (said, there) in whole.items():
        if summary.dataset_complete:
            same(SUMMARY, {name: (said, there)}, source=f"the whole data set {spec.name} has")
        require(SUMMARY, name, said, 1 <= said <= there, f"from 1 to {there:,}, the images of {spec.name}")
    require(SUMMARY, "n_train_available and n_validation together", seen, seen >= 2, "at least 2")
    share, limit = config.training.validation_share, config.training.train_limit
    available, validation = split_sizes(seen, share=share, limit=None)
    if spec.n_validation is not None:
        # who is heard in a part of the set decides its split, so of less than the whole no number is due
        published = spec.n_validation if seen == spec.n_train else max(1, min(summary.n_validation, spec.n_validation))
        available, validation = seen - published, published
    n_train = available if limit is None else min(available, limit)
    n_train -= config.seeks.n_held_out(n_train)
    told = {
        "n_validation": (summary.n_validation, validation),
        "n_train_available": (summary.n_train_available, available),
        "n_train": (summary.n_train, n_train),
    }
    same(SUMMARY, told, source="the config's split gives")
    expected = f"at least training.batch_size, {config.training.batch_size}"
    require(SUMMARY, "n_train", summary.n_train, summary.n_train >= config.training.batch_size, expected)


def check_answers(answers: Predictions, summary: Summary, plan: Plan, spec: DatasetSpec) -> None:
    """Classes are the data set's, images its test set, and the scores those of the answers."""
    n = len(answers.label)
    same(PREDICTIONS, {"the number of classes": (len(answers.classes), plan.n_classes)}, source=f"{spec.name} has")
    for place, (said, true) in enumerate(zip(answers.classes, spec.classes, strict=bool(spec.classes))):
        same(PREDICTIONS, {f"class {place}": (said, true)}, source=f"{spec.name} has")
    require(PREDICTIONS, "classes", "one twice", len(set(answers.classes)) == len(answers.classes), "different names")
    in_order = np.array_equal(answers.index, np.arange(n))
    require(PREDICTIONS, "index", "others", in_order, f"the places of the test set in order, 0 to {n - 1}")
    table = confusion(answers.label, predict(answers.outputs), answers.classes)
    scores = {"accuracy": (summary.accuracy, accuracy(table)), "f1_macro": (summary.f1_macro, f1_macro(table))}
    close(SUMMARY, scores, source="predictions.npz gives")


def check_examples(bundle: Bundle, summary: Summary, spec: DatasetSpec) -> None:
    """Images of the data set's size, from its test set, or none of them with their places alone."""
    kept = bundle.examples()
    _, height, width = spec.image_shape
    if kept.has_pixels:
        same(EXAMPLES, {"the size of an image": (kept.image.shape[1:3], (height, width))}, source=f"{spec.name} has")
    top = int(kept.index.max(initial=0))
    require(EXAMPLES, "index", top, top < summary.n_test, f"below {summary.n_test:,}, the images of the test set")


def check_recount(recount: Recount, counts: Counts) -> None:
    """What another tool counted: of these layers, on no more images, and no more than they can do."""
    if recount.failure is not None:
        return
    told = [(layer.name, layer.kind) for layer in recount.layers]
    if told != [(layer.name, layer.kind) for layer in counts.layers]:  # a share may show them
        raise UploadCorrupt(file=RECOUNT, why="its layers are not those of counts.json.")
    n = recount.n_images
    require(RECOUNT, "n_images", n, 1 <= n <= counts.n_samples, f"from 1 to {counts.n_samples:,}, the test images")
    same(RECOUNT, {"time_steps": (recount.time_steps, counts.time_steps)})
    for answers in (recount, recount.stored):
        if answers is not None:
            within(RECOUNT, "answers_equal", answers.answers_equal, 0, n)
    for layer, counted in zip(recount.layers, counts.layers, strict=True):
        most = n * counts.time_steps
        within(RECOUNT, f"exact of {layer.name}", layer.exact.acs + layer.exact.macs, 0, most * counted.dense_ops)
        sent = layer.spikes
        for name, spikes in (("ours", sent.ours), ("theirs", sent.theirs)) if sent else ():
            within(RECOUNT, f"spikes of {layer.name}, {name}", spikes, 0, most * counted.output_numel)
        differs = sent is not None and sent.ours != sent.theirs
        require(RECOUNT, f"equal of {layer.name}", layer.equal, not (layer.equal and differs), "false: spikes differ")
