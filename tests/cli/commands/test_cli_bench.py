"""ponder bench: every case on tiny models, the shapes that --random makes, the roofline, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest

from ponder.cli.benchmark.cases import parse_cases
from ponder.cli.benchmark.random_model import random_config, random_model, tokenizer_of
from ponder.cli.benchmark.roofline import prefill_operations, step_bytes
from ponder.core.errors import UserError

SMALL = "tiny:layers=2,vocab=2048"


def test_every_speed_of_a_random_model(ponder) -> None:
    only = "decode1,decode2@64,prefill64,prefix64,ttft"
    done = ponder(
        "bench",
        "--random",
        SMALL,
        "--int4",
        "--kv-dtype",
        "int8",
        "--rounds",
        "1",
        "--context",
        "32",
        "--only",
        only,
        "--json",
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert list(report["results"]) == only.split(",")
    assert (report["model"], report["dtype"]) == (SMALL, "int4")
    assert all(value > 0 for row in report["results"].values() for value in row.values())
    assert report["kv_bytes_per_token"] < random_config(SMALL).kv_bytes_per_token("bf16")
    assert report["peak_mb"] >= report["weights_mb"] > 0
    decode, prefill = report["results"]["decode1"], report["results"]["prefill64"]
    # a step in milliseconds, the rate and the share of the bandwidth tell the same story
    assert decode["tokens_per_s"] == pytest.approx(1000 / decode["ms_per_step"])
    share = 100 * decode["read_gb_per_s"] / decode["bandwidth_gb_per_s"]
    assert decode["percent_of_bandwidth"] == pytest.approx(share)
    assert prefill["percent_of_compute"] == pytest.approx(
        100 * prefill["tera_ops_per_s"] / prefill["compute_tera_ops_per_s"]
    )
    assert prefill["tokens_per_s"] == pytest.approx(64 / prefill["first_id_s"])


def test_mixture_of_experts_and_the_table(ponder) -> None:
    done = ponder("bench", "--random", "tiny-moe:layers=2,vocab=2048", "--rounds", "1", "--only", "decode1,prefill32")
    assert done.returncode == 0, done.stderr
    assert "% of bandwidth" in done.stdout and "% of compute" in done.stdout


def test_load_of_a_random_model_is_measured_in_fresh_processes(ponder) -> None:
    done = ponder("bench", "--random", SMALL, "--rounds", "1", "--only", "load", "--json")
    assert done.returncode == 0, done.stderr
    load = json.loads(done.stdout)["results"]["load"]
    assert 0 < load["warm_loaded_s"] < load["warm_start_s"] and load["cold_start_s"] > 0 < load["first_start_s"]


def test_load_keeps_nothing_beside_the_model_when_told_so(ponder, tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny, tmp_path / "model", ignore=shutil.ignore_patterns(".ponder"))
    done = ponder("bench", str(folder), "--int8", "--no-packed", "--rounds", "1", "--only", "load", "--json")
    assert done.returncode == 0, done.stderr
    assert not (folder / ".ponder").exists()


def test_quality_needs_a_real_model(ponder, tiny: Path) -> None:
    done = ponder("bench", str(tiny), "--rounds", "1", "--only", "perplexity,golden", "--json")
    results = json.loads(done.stdout)["results"]
    assert results["perplexity"]["perplexity"] > 1 and results["golden"] == {"right_of_3": 0}  # untrained
    done = ponder("bench", "--random", SMALL, "--rounds", "1", "--only", "ttft,perplexity,golden", "--json")
    assert list(json.loads(done.stdout)["results"]) == ["ttft"]


@pytest.mark.parametrize("words", [
    "--only decode0", "--only speed", "--only prefix16", "--only decode1@0", "--random qwen4", "--rounds 0",
    "--random tiny:layers=x", "--random tiny:depth=3", "--random tiny:vocab=100", "--random missing.json",
    "--random tiny:heads=3,kv_heads=2", "--context 0", "MODEL --random tiny",
])  # fmt: skip
def test_refused(ponder, words: str) -> None:
    done = ponder("bench", *words.split())
    assert done.returncode == 2 and done.stderr.startswith("ponder: ")


def test_contexts_of_decode_cases() -> None:
    assert [case.context for case in parse_cases("decode1,decode8,decode8@99")] == [512, 128, 99]
    assert [case.context for case in parse_cases("decode1,decode8,decode8@99", 7)] == [7, 7, 99]


def test_shapes_that_a_name_gives(tmp_path: Path) -> None:
    moe = random_config("qwen3:0.6b:layers=24,experts=64,top_k=4,expert_width=384")
    assert (moe.model_type, moe.num_hidden_layers, moe.num_experts, moe.moe_intermediate_size) == (
        "qwen3_moe", 24, 64, 384,
    )  # fmt: skip
    small = random_config("tiny:layers=8,hidden=256,vocab=8192")
    assert (small.num_hidden_layers, small.hidden_size, small.vocab_size) == (8, 256, 8192)
    assert random_config("tiny").vocab_size == 151936
    file = tmp_path / "config.json"
    file.write_text(json.dumps(small.to_hf()))
    assert random_config(str(file)) == small
    with pytest.raises(UserError, match="not a multiple"):
        random_config("qwen3:0.6b:heads=3")


def test_a_cut_tokenizer_keeps_what_it_knows() -> None:
    whole, cut = tokenizer_of(151936), tokenizer_of(2048)
    assert whole.vocab_size == 151669 and cut.vocab_size == 2048
    text = "The quick brown fox, 你好"
    assert b"".join(map(cut.token_bytes, cut.encode(text))).decode() == text
    assert max(cut.encode(text)) < cut.im_end and cut.eos_ids == (cut.im_end, cut.endoftext)


def test_least_bytes_and_operations_by_hand() -> None:
    """A model small enough to count: the roofline must not flatter."""
    from argparse import Namespace

    args = Namespace(
        dtype="bf16", max_context=None, threads=None, speculation="off", kv_dtype="bf16", no_packed=False, adapter=[]
    )
    model = random_model("tiny-moe:vocab=2048", args).runner.model
    config = model.config
    d, q, kv = config.hidden_size, config.num_attention_heads * config.head_dim, 2 * config.head_dim
    assert kv == config.num_key_value_heads * config.head_dim
    moe_layers = sum(config.is_moe_layer(i) for i in range(config.num_hidden_layers))
    assert moe_layers == config.num_hidden_layers
    attention = 2 * d * q + 2 * d * kv  # values of one layer's matrices
    expert = 3 * d * config.moe_intermediate_size
    router = config.num_experts * d
    norms = 2 * d + 2 * config.head_dim
    layers, head = config.num_hidden_layers, config.vocab_size * d
    one = layers * (2 * (attention + config.num_experts_per_tok * expert) + 4 * (router + norms)) + 2 * head + 4 * d
    cache = 10 * layers * 2 * kv * 2
    assert step_bytes(model, 1, 10, "bf16") == pytest.approx(one + cache)
    everyone = one + layers * 2 * (config.num_experts - config.num_experts_per_tok) * expert
    assert step_bytes(model, 1000, 0, "bf16") == pytest.approx(everyone)
    matrices = layers * (attention + config.num_experts_per_tok * expert + router + norms) + d
    products = 2 * 3 * matrices + 4 * (1 + 2 + 3) * layers * q + 2 * head
    assert prefill_operations(model, 3) == pytest.approx(products)
