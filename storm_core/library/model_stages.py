"""`fetch`, `merge` and `quantize`: from models on disk to a model on disk."""

from storm_core.checkpoints.config import FETCH, FetchConfig
from storm_core.library.model import Model
from storm_core.library.options import Options, with_options
from storm_core.library.running import Reference, Runner, output_directory
from storm_core.merging.config import MERGE, MergeConfig
from storm_core.quantization.config import QUANTIZE, QuantizeConfig


class _ModelStages(Runner[Options]):
    def fetch(self, source: Reference, output: Reference, *args: Options.args, **options: Options.kwargs) -> Model:
        """Write a model directory or a GGUF file as a checkpoint that every function here reads.

        What was written to `output` from the same source before is used again.

        Args:
            source: a model directory in the Hugging Face layout, one .gguf file, or a URI: `hf://org/name@revision`.
            output: the directory to write; an artifact there is replaced, anything else is left alone and refused.

        Raises:
            InputError: no safetensors, a LoRA adapter, code from a hub, or no tokenizer with a chat template.
        """
        return self._write({"source": source}, output, *args, **options)

    def merge(
        self,
        base_model: Reference,
        other_model: Reference,
        output: Reference,
        *args: Options.args,
        **options: Options.kwargs,
    ) -> Model:
        """Write the SLERP of two models of the same shapes, tensor by tensor; memory holds one tensor and one shard.

        Tokenizer, chat template, config and dtypes are those of `base_model`. What was written to `output` from the
        same models before is used again.

        Args:
            base_model: the model at t = 0: a checkpoint or artifact directory, a manifest file, or a URI.
            other_model: the model at t = 1.
            output: the directory to write; an artifact there is replaced, anything else is left alone and refused.

        Raises:
            InputError: the models do not fit each other, or a tensor cannot be merged; nothing is written then.
        """
        return self._write({"base_model": base_model, "other_model": other_model}, output, *args, **options)

    def quantize(self, model: Reference, output: Reference, *args: Options.args, **options: Options.kwargs) -> Model:
        """Write the model with its linear layers in FP8, in the compressed-tensors format, for vLLM and transformers.

        What was written to `output` from the same model before is used again.

        Args:
            model: a checkpoint or artifact directory, a manifest file, or a URI.
            output: the directory to write; an artifact there is replaced, anything else is left alone and refused.

        Raises:
            InputError: the model is quantized already, `ignore` does not fit it, or a weight is NaN or infinite.
        """
        return self._write({"model": model}, output, *args, **options)

    def _write(
        self, inputs: dict[str, Reference | None], output: Reference, *args: Options.args, **options: Options.kwargs
    ) -> Model:
        directory = output_directory(output)
        return Model(directory=directory, manifest=self._run(inputs, directory, *args, **options))


fetch = with_options(FETCH)(_ModelStages(FETCH, FetchConfig).fetch)
merge = with_options(MERGE)(_ModelStages(MERGE, MergeConfig).merge)
quantize = with_options(QUANTIZE)(_ModelStages(QUANTIZE, QuantizeConfig).quantize)
