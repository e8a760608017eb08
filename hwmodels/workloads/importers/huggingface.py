"""Hugging Face `config.json` of decoders and encoders: their sizes, as the library's networks.

Only sizes are read: no weights, no code. Decoders: gpt2, llama, mistral, qwen2, qwen3, mixtral,
gemma; encoders: bert, roberta, distilbert.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hwmodels.errors import InputError, check_choice
from hwmodels.workloads.importers.layers import check_size
from hwmodels.workloads.importers.safe_yaml import mapping, read_text
from hwmodels.workloads.networks.decoder import DecoderConfig, decoder_network
from hwmodels.workloads.networks.encoder import EncoderConfig, encoder_network
from hwmodels.workloads.networks.network import Network
from hwmodels.workloads.settings import Settings
from hwmodels.workloads.workload import Workload

LARGEST, MOST_LAYERS = 1 << 20, 10_000  # bytes, layers
_SEQUENCE = 4096  # tokens at most by default, of models that can see more


class _Sizes:
    """The fields of a configuration, checked as they are read."""

    def __init__(self, path: Path, content: Mapping[str, Any]):
        self.file, self.content = path.name, content

    def size(self, *names: str, usual: int | None = None) -> int:
        """A whole number under any of its names."""
        for name in names:
            value = self.content.get(name)
            if value is not None:
                return check_size(f"{self.file}, {name}", value)
        if usual is None:
            raise InputError(f"{self.file}, {names[0]}", "nothing", "allowed: a whole number >= 1")
        return usual

    def flag(self, name: str, usual: bool) -> bool:
        """True or false."""
        value = self.content.get(name, usual)
        if not isinstance(value, bool):
            raise InputError(f"{self.file}, {name}", value, "allowed: true, false")
        return value

    def layers(self, *names: str) -> int:
        """The number of blocks."""
        value = self.size(*names)
        return check_size(f"{self.file}, {names[0]}", value, MOST_LAYERS)


def from_config(path: Path, settings: Settings) -> Workload:
    """The workload of a configuration; `InputError` names file and field."""
    return network_of(path).load(settings)


def network_of(path: Path) -> Network:
    """The network that a configuration describes."""
    text = read_text(path)
    if len(text) > LARGEST:
        raise InputError(str(path), f"{len(text)} characters", f"allowed: up to {LARGEST}")
    try:
        content = json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InputError(str(path), error, "allowed: a config.json") from None
    sizes = _Sizes(path, mapping(str(path), content))
    kind = content.get("model_type")
    check_choice(f"{path.name}, model_type", kind, KINDS)
    return KINDS[kind](path.stem, sizes)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field comes twice")
    return found


def _gpt2(name: str, s: _Sizes) -> Network:
    hidden, positions = s.size("n_embd"), s.size("n_positions", "n_ctx")
    heads = s.size("n_head")
    config = DecoderConfig(
        name, s.layers("n_layer"), hidden, heads, heads, s.size("n_inner", usual=4 * hidden),
        s.size("vocab_size"), positions=positions, gated=False, biases=True,
        tied=s.flag("tie_word_embeddings", True),
    )  # fmt: skip
    return decoder_network(config, positions)


def _llama(name: str, s: _Sizes) -> Network:
    hidden, heads = s.size("hidden_size"), s.size("num_attention_heads")
    kind = s.content["model_type"]
    config = DecoderConfig(
        name, s.layers("num_hidden_layers"), hidden, heads,
        s.size("num_key_value_heads", usual=heads), s.size("intermediate_size"),
        s.size("vocab_size"), head=_head(s, hidden, heads), tied=s.flag("tie_word_embeddings",
                                                                        kind == "gemma"),
        query_biases=kind == "qwen2" or s.flag("attention_bias", False),
        head_norms=kind == "qwen3",
        experts=s.size("num_local_experts") if kind == "mixtral" else 0,
        chosen=s.size("num_experts_per_tok", usual=2),
    )  # fmt: skip
    return decoder_network(
        config, min(s.size("max_position_embeddings", usual=_SEQUENCE), _SEQUENCE)
    )


def _head(s: _Sizes, hidden: int, heads: int) -> int | None:
    head = s.size("head_dim", usual=0)
    if not head and hidden % heads:
        raise InputError(f"{s.file}, num_attention_heads", heads,
                         f"allowed: divisors of hidden_size {hidden}")  # fmt: skip
    return head or None


def _bert(name: str, s: _Sizes) -> Network:
    positions, kind = s.size("max_position_embeddings"), s.content["model_type"]
    if kind == "roberta":
        positions = max(positions - 2, 1)  # the first two are never used
    config = EncoderConfig(
        name, s.layers("num_hidden_layers", "n_layers"), s.size("hidden_size", "dim"),
        s.size("num_attention_heads", "n_heads"), s.size("intermediate_size", "hidden_dim"),
        vocabulary=s.size("vocab_size"), positions=positions,
        segments=0 if kind == "distilbert" else s.size("type_vocab_size", usual=2),
        pooler=kind != "distilbert",
    )  # fmt: skip
    return encoder_network(config, 8)


KINDS: dict[str, Callable[[str, _Sizes], Network]] = {
    "gpt2": _gpt2,
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "mixtral", "gemma"), _llama),
    **dict.fromkeys(("bert", "roberta", "distilbert"), _bert),
}
