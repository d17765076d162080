"""Build what is traced: the real model, adapter and SFTTrainer, on tensors without contents."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import nn

from ftspec.compiler.memory.work import Work

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


# What transformers calls blocks with and without a sliding window in `layer_types`.
WITH_OR_WITHOUT_WINDOW = {"sliding_attention", "full_attention"}


@dataclass
class Subject:
    """A trainer whose model holds fake tensors, and its model."""

    trainer: Any
    model: nn.Module


def meta_model(config: Mapping[str, Any], work: Work, overrides: Mapping[str, Any]) -> nn.Module:
    """Build the model on the meta device, its linear layers replaced where it is quantized.

    overrides: attributes of its config to set, those that it has.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = AutoConfig.for_model(**_plain(config))
    _override(settings, overrides)
    settings._attn_implementation = work.attention
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            settings, dtype=DTYPES[work.dtype], attn_implementation=work.attention
        )
    model.tie_weights()
    if work.quantization != "none":
        _quantize(model, work)
    return model


def _override(settings: Any, overrides: Mapping[str, Any]) -> None:
    kinds = getattr(settings, "layer_types", None)
    for name, value in overrides.items():
        computed = isinstance(getattr(type(settings), name, None), property)
        if not computed and (name == "head_dim" or getattr(settings, name, None) is not None):
            setattr(settings, name, value)
    if kinds and "num_hidden_layers" in overrides:
        wanted = overrides["num_hidden_layers"]
        settings.layer_types = (kinds * wanted)[:wanted]


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    drop = ("architectures", "torch_dtype", "dtype", "transformers_version", "quantization_config")
    return {key: value for key, value in config.items() if key not in drop}


def kinds_of_layers(config: Mapping[str, Any]) -> int:
    """Return how many kinds of blocks transformers tells apart by `layer_types`; at least one."""
    from transformers import AutoConfig

    settings = AutoConfig.for_model(**_plain(config)).get_text_config()
    return len(set(getattr(settings, "layer_types", None) or ("one",)))


def alike_blocks(config: Mapping[str, Any], *, windows: bool) -> bool:
    """Whether a model's blocks are of one kind, so that a few of them stand for all.

    By the lists of its config that have an entry a block, such as layer_types. windows: whether
    rows are longer than its sliding window; if not, blocks with and without one are alike.
    """
    from transformers import AutoConfig

    settings = AutoConfig.for_model(**_plain(config)).get_text_config()
    blocks = settings.num_hidden_layers
    for entries in vars(settings).values():
        if isinstance(entries, list) and len(entries) == blocks:
            kinds = {str(one) for one in entries}
            if len(kinds) > 1 and (windows or not kinds <= WITH_OR_WITHOUT_WINDOW):
                return False
    return True


def _quantize(model: Any, work: Work) -> None:
    """Replace linear layers as `from_pretrained` with a BitsAndBytesConfig does."""
    from transformers import BitsAndBytesConfig
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear
    from transformers.quantizers.base import get_keys_to_not_convert

    if work.quantization == "int8":
        settings = BitsAndBytesConfig(load_in_8bit=True)
        model.is_loaded_in_8bit = True
    else:
        settings = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=work.quantization,
            bnb_4bit_use_double_quant=work.double_quant,
            bnb_4bit_compute_dtype=DTYPES[work.dtype],
        )
        model.is_loaded_in_4bit = True
    kept = get_keys_to_not_convert(model)
    replace_with_bnb_linear(model, modules_to_not_convert=kept, quantization_config=settings)
    model.is_quantized = True
    model.quantization_method = settings.quant_method
    model.hf_quantizer = _Trainable(settings)
    model.config.quantization_config = settings


class _Trainable:
    """Stand for the quantizer that `from_pretrained` leaves on a model."""

    is_trainable = True
    is_qat_trainable = False
    is_compileable = False

    def __init__(self, settings: Any) -> None:
        self.quantization_config = settings


def adapter_settings(work: Work) -> Any:
    """Return peft's config for the method, as the emitted script writes it; None: full."""
    import peft

    if work.method in ("lora", "qlora"):
        return peft.LoraConfig(
            task_type="CAUSAL_LM",
            r=work.rank,
            lora_alpha=2 * work.rank,
            lora_dropout=work.dropout,
            target_modules=list(work.targets),
            fan_in_fan_out=bool(work.shape.family and work.shape.family.conv1d),
            use_dora=work.dora,
            bias=work.bias,
            modules_to_save=list(work.modules_to_save) or None,
        )
    if work.method == "prefix":
        return peft.PrefixTuningConfig(
            task_type="CAUSAL_LM", num_virtual_tokens=work.virtual_tokens
        )
    if work.method == "prompt":
        return peft.PromptTuningConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=work.virtual_tokens,
            prompt_tuning_init="RANDOM",
        )
    return None


@contextmanager
def subject(
    config: Mapping[str, Any], work: Work, mode: Any, overrides: Mapping[str, Any]
) -> Iterator[Subject]:
    """Build the trainer; `mode` is the FakeTensorMode under which its tensors are made."""
    from peft import get_peft_model
    from trl import SFTConfig, SFTTrainer
    from trl.models.selective_activation_checkpointing import (
        enable_selective_activation_checkpointing,
    )
    from trl.trainer import sft_trainer

    class Settings(SFTConfig):  # type: ignore[misc]
        """Settings under which the trainer leaves the model where it is."""

        place_model_on_device = False

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            output_dir=folder,
            per_device_train_batch_size=work.batch,
            per_device_eval_batch_size=max(1, work.eval_batch),
            gradient_accumulation_steps=work.accumulation,
            max_length=None,
            packing=False,
            padding_free=work.packed,
            learning_rate=1e-4,
            optim=work.optimizer,
            bf16=work.autocast == "bfloat16",
            fp16=False,
            use_cpu=True,
            gradient_checkpointing=bool(work.checkpointing),
            label_smoothing_factor=0.1 if work.full_logits else 0.0,
            report_to="none",
            save_strategy="no",
            dataset_kwargs={"skip_prepare_dataset": True},
        )
        model = meta_model(config, work, overrides)
        if work.checkpointing == "selective":
            enable_selective_activation_checkpointing(model)
        with mock.patch.object(sft_trainer, "get_peft_model", _on_meta(get_peft_model)):
            trainer = SFTTrainer(
                model=model,
                args=settings,
                train_dataset=_rows(),
                processing_class=_tokenizer(),
                peft_config=adapter_settings(work),
            )
        if work.autocast == "float16":
            for weight in trainer.model.parameters():
                if weight.requires_grad:
                    weight.data = weight.data.float()
        with mode:
            materialize(trainer.model)
        trainer.accelerator.native_amp = work.autocast is not None
        yield Subject(trainer, trainer.model)


def _on_meta(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make what a function makes without contents, so that it costs neither memory nor time."""

    def made(*args: Any, **kwargs: Any) -> Any:
        with torch.device("meta"):
            return function(*args, **kwargs)

    return made


def _rows() -> Any:
    from datasets import Dataset

    return Dataset.from_list([{"input_ids": [5] * 4, "labels": [5] * 4}])


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    plain = Tokenizer(models.WordLevel({"<pad>": 0, "a": 1}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", eos_token="<pad>")


def materialize(model: nn.Module) -> None:
    """Replace each meta tensor of a model by a fake CPU tensor, quantized ones by their parts."""
    memo: dict[int, torch.Tensor] = {}
    for module in model.modules():
        for table in (module._parameters, module._buffers):
            for name, old in list(table.items()):
                if old is None:
                    continue
                if id(old) not in memo:
                    memo[id(old)] = _made(module, old, table is module._parameters)
                table[name] = memo[id(old)]  # type: ignore[assignment]
        for name, value in list(module.__dict__.items()):
            if isinstance(value, torch.Tensor) and value.device.type == "meta":
                module.__dict__[name] = torch.empty(value.shape, dtype=value.dtype)


def _made(module: nn.Module, old: torch.Tensor, parameter: bool) -> torch.Tensor:
    kind = type(old).__name__
    if kind == "Params4bit":
        return _made_4bit(module, old)
    if kind == "Int8Params":
        return _made_8bit(module, old)
    fresh = torch.empty(old.shape, dtype=old.dtype)
    return nn.Parameter(fresh, requires_grad=old.requires_grad) if parameter else fresh


def _made_4bit(module: Any, old: Any) -> torch.Tensor:
    import bitsandbytes.functional as functional

    weight, state = functional.quantize_4bit(
        torch.empty(old.shape, dtype=module.compute_dtype),
        blocksize=64,
        compress_statistics=old.compress_statistics,
        quant_type=old.quant_type,
    )
    module.support_avx512bf16_for_cpu = False  # a path of the CPU, in evaluation
    fresh = nn.Parameter(weight, requires_grad=False)  # Params4bit cannot wrap a fake tensor
    fresh.quant_state = state  # type: ignore[attr-defined]
    fresh.compress_statistics = old.compress_statistics  # type: ignore[attr-defined]
    fresh.quant_type = old.quant_type  # type: ignore[attr-defined]
    module.quant_state = state
    return fresh


def _made_8bit(module: Any, old: torch.Tensor) -> torch.Tensor:
    fresh = nn.Parameter(torch.empty(old.shape, dtype=torch.int8), requires_grad=False)
    module.state.CB = fresh.data
    module.state.SCB = torch.empty(old.shape[0], dtype=torch.float32)
    fresh.CB = fresh.SCB = None  # type: ignore[attr-defined]
    return fresh
