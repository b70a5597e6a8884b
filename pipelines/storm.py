"""The graph of the recipe, the only definition of it.

Curation (prepare, score, select) and the Spectrum scan both start from the base model; training needs both. The audit
of the judge needs all verdicts, and nothing waits for it. The tuned model is merged with its sibling, the merge is
quantized, five models are measured on one suite, and the gate's decision goes with the models into the registry.

Arguments of a stage carry its verb as prefix; `components` and the stages' configs say what they mean.
"""

from typing import NamedTuple

from kfp import dsl

from components.audit import audit
from components.evaluate import evaluate
from components.fetch import fetch
from components.gate import gate
from components.merge import merge
from components.prepare import prepare
from components.quantize import quantize
from components.register import register
from components.report import report
from components.scan import scan
from components.select import select
from components.train import train
from pipelines.score_shards import score_shards_pipeline
from pipelines.tasks import TaskSettings, without_caching
from storm_core.curation.config import AuditConfig, ScoreConfig, SelectConfig
from storm_core.evaluation.config import EvaluateConfig
from storm_core.finetuning.config import TrainConfig
from storm_core.merging.config import MergeConfig
from storm_core.quantization.config import QuantizeConfig
from storm_core.registry.config import GateConfig, RegisterConfig
from storm_core.reporting.config import ReportConfig
from storm_core.sources.config import FetchConfig, PrepareConfig
from storm_core.spectrum.config import ScanConfig

DESCRIPTION = "Self-curation, Spectrum fine-tuning, SLERP, FP8, evaluation and promotion"


class Outputs(NamedTuple):
    """What a person reads: the report on the run, and the report on the judge."""

    report: dsl.Artifact
    audit: dsl.Artifact


def describe(settings: TaskSettings) -> str:
    """What the KFP UI says of the pipeline."""
    expected = settings.expectations()
    return "\n".join([DESCRIPTION, *(["A run expects in its namespace", *expected] if expected else [])])


def storm_pipeline(settings: TaskSettings = TaskSettings()) -> dsl.base_component.BaseComponent:  # noqa: B008 (frozen)
    """The recipe's graph as a KFP pipeline whose tasks ask for what `settings` say."""
    apply, score_shards = settings.apply, score_shards_pipeline(settings)

    @dsl.pipeline(name="storm", description=describe(settings))
    def storm(
        base_model: str,
        sibling_model: str,
        data: str,
        prepare_sources: list,
        fetch_dtype: str = FetchConfig.dtype,
        prepare_held_out: list = list(PrepareConfig.held_out),
        prepare_held_out_suites: list = list(PrepareConfig.held_out_suites),
        prepare_contamination_words: int = PrepareConfig.contamination_words,
        prepare_drop_near_duplicates: bool = PrepareConfig.drop_near_duplicates,
        prepare_near_duplicate_threshold: float = PrepareConfig.near_duplicate_threshold,
        prepare_near_duplicate_shingle_words: int = PrepareConfig.near_duplicate_shingle_words,
        prepare_near_duplicate_permutations: int = PrepareConfig.near_duplicate_permutations,
        prepare_max_rejected_fraction: float = PrepareConfig.max_rejected_fraction,
        prepare_max_characters: int = PrepareConfig.max_characters,
        prepare_max_examples_per_source: int = PrepareConfig.max_examples_per_source,
        prepare_shards: int = PrepareConfig.shards,
        prepare_seed: int = PrepareConfig.seed,
        score_rubrics: str = "",
        score_engine: str = ScoreConfig.engine,
        score_batch_size: int = ScoreConfig.batch_size,
        score_max_length: int = ScoreConfig.max_length,
        score_dtype: str = ScoreConfig.dtype,
        score_min_educational_value: float = ScoreConfig.min_educational_value,
        score_keep_seconds: float = ScoreConfig.keep_seconds,
        score_endpoint: str = ScoreConfig.endpoint,
        score_endpoint_model: str = ScoreConfig.endpoint_model,
        score_endpoint_prompts: str = ScoreConfig.endpoint_prompts,
        score_endpoint_concurrency: int = ScoreConfig.endpoint_concurrency,
        score_endpoint_requests_per_minute: int = ScoreConfig.endpoint_requests_per_minute,
        score_endpoint_timeout_seconds: float = ScoreConfig.endpoint_timeout_seconds,
        score_endpoint_retries: int = ScoreConfig.endpoint_retries,
        select_min_educational_value: float = SelectConfig.min_educational_value,
        select_educational_value_by: str = SelectConfig.educational_value_by,
        select_difficulties: list = list(SelectConfig.difficulties),
        select_max_per_source: int = SelectConfig.max_per_source,
        select_source_caps: list = list(SelectConfig.source_caps),
        select_validation_fraction: float = SelectConfig.validation_fraction,
        select_seed: int = SelectConfig.seed,
        audit_min_educational_value: float = AuditConfig.min_educational_value,
        audit_probe_examples: int = AuditConfig.probe_examples,
        audit_examples_per_label: int = AuditConfig.examples_per_label,
        audit_shown_characters: int = AuditConfig.shown_characters,
        audit_seed: int = AuditConfig.seed,
        scan_unfrozen_percent: float = ScanConfig.unfrozen_percent,
        train_epochs: float = TrainConfig.epochs,
        train_learning_rate: float = TrainConfig.learning_rate,
        train_batch_size: int = TrainConfig.batch_size,
        train_gradient_accumulation_steps: int = TrainConfig.gradient_accumulation_steps,
        train_max_length: int = TrainConfig.max_length,
        train_warmup_ratio: float = TrainConfig.warmup_ratio,
        train_learning_rate_schedule: str = TrainConfig.learning_rate_schedule,
        train_weight_decay: float = TrainConfig.weight_decay,
        train_max_gradient_norm: float = TrainConfig.max_gradient_norm,
        train_gradient_checkpointing: bool = TrainConfig.gradient_checkpointing,
        train_dtype: str = TrainConfig.dtype,
        train_evaluations: int = TrainConfig.evaluations,
        train_seed: int = TrainConfig.seed,
        train_checkpoint_minutes: float = TrainConfig.checkpoint_minutes,
        merge_t: float = MergeConfig.t,
        quantize_scheme: str = QuantizeConfig.scheme,
        quantize_ignore: list = list(QuantizeConfig.ignore),
        evaluate_suite: str = EvaluateConfig.suite,
        evaluate_dtype: str = EvaluateConfig.dtype,
        gate_standard_errors: float = GateConfig.standard_errors,
        gate_quantized_tolerance: float = GateConfig.quantized_tolerance,
        register_registered_model_name: str = RegisterConfig.registered_model_name,
        report_title: str = ReportConfig.title,
    ) -> Outputs:
        """The recipe from a base model and raw data to registered models and two reports."""
        base = apply(fetch(source=base_model, dtype=fetch_dtype), "fetch-base").outputs["model"]
        sibling = apply(fetch(source=sibling_model, dtype=fetch_dtype), "fetch-sibling").outputs["model"]
        prepared = prepare(
            data=data,
            sources=prepare_sources,
            held_out=prepare_held_out,
            held_out_suites=prepare_held_out_suites,
            contamination_words=prepare_contamination_words,
            drop_near_duplicates=prepare_drop_near_duplicates,
            near_duplicate_threshold=prepare_near_duplicate_threshold,
            near_duplicate_shingle_words=prepare_near_duplicate_shingle_words,
            near_duplicate_permutations=prepare_near_duplicate_permutations,
            max_rejected_fraction=prepare_max_rejected_fraction,
            max_characters=prepare_max_characters,
            max_examples_per_source=prepare_max_examples_per_source,
            shards=prepare_shards,
            seed=prepare_seed,
        )
        apply(prepared, "prepare")
        scanned = apply(scan(model=base, unfrozen_percent=scan_unfrozen_percent), "scan").outputs["scan"]
        scored = score_shards(
            model=base,
            examples=prepared.outputs["examples"],
            shard_indices=prepared.outputs["shard_indices"],
            rubrics=score_rubrics,
            engine=score_engine,
            batch_size=score_batch_size,
            max_length=score_max_length,
            dtype=score_dtype,
            min_educational_value=score_min_educational_value,
            keep_seconds=score_keep_seconds,
            endpoint=score_endpoint,
            endpoint_model=score_endpoint_model,
            endpoint_prompts=score_endpoint_prompts,
            endpoint_concurrency=score_endpoint_concurrency,
            endpoint_requests_per_minute=score_endpoint_requests_per_minute,
            endpoint_timeout_seconds=score_endpoint_timeout_seconds,
            endpoint_retries=score_endpoint_retries,
        )
        verdicts = without_caching(scored).output
        selection = select(
            examples=prepared.outputs["examples"],
            verdicts=verdicts,
            min_educational_value=select_min_educational_value,
            educational_value_by=select_educational_value_by,
            difficulties=select_difficulties,
            max_per_source=select_max_per_source,
            source_caps=select_source_caps,
            validation_fraction=select_validation_fraction,
            seed=select_seed,
        )
        apply(selection, "select")
        # The judge as it scored: its options are those of `score`.
        audited = audit(
            model=base,
            examples=prepared.outputs["examples"],
            verdicts=verdicts,
            rubrics=score_rubrics,
            engine=score_engine,
            batch_size=score_batch_size,
            max_length=score_max_length,
            dtype=score_dtype,
            endpoint=score_endpoint,
            endpoint_model=score_endpoint_model,
            endpoint_prompts=score_endpoint_prompts,
            endpoint_concurrency=score_endpoint_concurrency,
            endpoint_requests_per_minute=score_endpoint_requests_per_minute,
            endpoint_timeout_seconds=score_endpoint_timeout_seconds,
            endpoint_retries=score_endpoint_retries,
            min_educational_value=audit_min_educational_value,
            probe_examples=audit_probe_examples,
            examples_per_label=audit_examples_per_label,
            shown_characters=audit_shown_characters,
            seed=audit_seed,
        )
        apply(audited, "audit")
        trained = train(
            model=base,
            selection=selection.outputs["selection"],
            scan=scanned,
            epochs=train_epochs,
            learning_rate=train_learning_rate,
            batch_size=train_batch_size,
            gradient_accumulation_steps=train_gradient_accumulation_steps,
            max_length=train_max_length,
            warmup_ratio=train_warmup_ratio,
            learning_rate_schedule=train_learning_rate_schedule,
            weight_decay=train_weight_decay,
            max_gradient_norm=train_max_gradient_norm,
            gradient_checkpointing=train_gradient_checkpointing,
            dtype=train_dtype,
            evaluations=train_evaluations,
            seed=train_seed,
            checkpoint_minutes=train_checkpoint_minutes,
        )
        apply(trained, "train")
        tuned = trained.outputs["tuned_model"]
        merged = apply(merge(base_model=tuned, other_model=sibling, t=merge_t), "merge").outputs["merged_model"]
        quantized = quantize(
            model=merged,
            scheme=quantize_scheme,
            ignore=quantize_ignore,
        )
        fp8 = apply(quantized, "quantize").outputs["quantized_model"]
        evaluations = {
            f"{name}_evaluation": apply(
                evaluate(model=model, data=data, suite=evaluate_suite, dtype=evaluate_dtype), f"evaluate-{name}"
            ).outputs["evaluation"]
            for name, model in {
                "base": base,
                "sibling": sibling,
                "tuned": tuned,
                "merged": merged,
                "quantized": fp8,
            }.items()
        }
        decided = gate(
            standard_errors=gate_standard_errors,
            quantized_tolerance=gate_quantized_tolerance,
            **evaluations,
        )
        decision = apply(decided, "gate").outputs["decision"]
        registered = register(
            merged_model=merged,
            quantized_model=fp8,
            merged_evaluation=evaluations["merged_evaluation"],
            quantized_evaluation=evaluations["quantized_evaluation"],
            decision=decision,
            registered_model_name=register_registered_model_name,
        )
        apply(registered, "register")
        written = report(
            selection=selection.outputs["selection"],
            verdicts=verdicts,
            scan=scanned,
            training=trained.outputs["training"],
            decision=decision,
            registration=registered.outputs["registration"],
            title=report_title,
            **evaluations,
        )
        return Outputs(report=apply(written, "report").outputs["report"], audit=audited.outputs["audit"])

    return storm
