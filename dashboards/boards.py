"""The five dashboards: service, model, drift, rollout, business. What each panel answers is its description.

Limits are those of the alerts in `dashboards/prometheus/rules/`, which `dashboards/RUNBOOK.md` explains.
"""

from typing import Any

from dashboards.panels import Panel, board

RED, YELLOW = "red", "yellow"
RATE = "$__rate_interval"


def service() -> dict[str, Any]:
    """Rate, errors, duration, saturation."""
    return board("fraud-service", "Fraud: service", "Is everybody answered, in time, and is it kept?", [
        Panel("Requests", "Requests to score per second, batches counted once.", {"requests": "fraud:requests:rate5m"}, "reqps"),
        Panel("Errors", "Share of failed requests; the objective is 0.1 %.",
              {"5 min": "fraud:request_errors:ratio_rate5m", "1 h": "fraud:request_errors:ratio_rate1h"}, "percentunit",
              ((0.001, YELLOW), (0.0144, RED))),
        Panel("Duration", "p95 and p99 of single payments, commit included; 50 and 100 ms are promised.",
              {"p95": "fraud:request_duration_seconds:p95_5m", "p99": "fraud:request_duration_seconds:p99_5m"},
              "s", ((0.05, YELLOW), (0.1, RED))),
        Panel("Failures by code", "What callers were told; the code names the section of the runbook.",
              {"{{code}}": f"sum by (code) (rate(fraud_errors_total[{RATE}]))"}, "reqps"),
        Panel("Under way and on the way to the disk", "A queue that grows is refused in the end.",
              {"payments": "sum(fraud_payments_under_way)", "log": "sum(fraud_log_lag_entries)"}, "short", ((1000, RED),)),
        Panel("Unlogged answers", "Answers that nothing keeps: none, unless somebody chose so.",
              {"answers": f"sum(increase(fraud_unlogged_answers_total[{RATE}]))"}, "short", ((1, RED),)),
        Panel("CPU", "Cores that each scoring process uses; one is all it can.",
              {"{{instance}}": f'rate(process_cpu_seconds_total{{job="scoring"}}[{RATE}])'}, "short", ((0.8, YELLOW),), width=6),
        Panel("Memory", "Resident memory of each scoring process; the limit is 1 GiB.",
              {"{{instance}}": 'process_resident_memory_bytes{job="scoring"}'}, "bytes", ((0.8 * 2**30, RED),), width=6),
        Panel("Descriptors", "Open files and connections.", {"{{instance}}": 'process_open_fds{job="scoring"}'}, "short", width=6),
        Panel("Disk free", "Of the lab's folder.", {"free": "min(fraud_home_free_bytes / fraud_home_size_bytes)"}, "percentunit",
              width=6),
        Panel("Processes", "Scoring processes that answer, and all that is scraped.",
              {"scoring": "fraud:replicas:count", "all": "sum(up)"}, kind="stat", width=6),
        Panel("Registry", "0: the last look was fine. Otherwise each replica serves what it has.",
              {"{{instance}}": "fraud_registry_failed"}, "short", ((1, RED),), kind="stat", width=6),
        Panel("Built of", "Python and feature schema of each process.", {"": "fraud_build_info"}, kind="table", width=12),
    ])  # fmt: skip


def model() -> dict[str, Any]:
    """Scores, decisions, matured performance, labels."""
    bounds = ("precision", "recall", "recall_at_capacity")
    return board("fraud-model", "Fraud: model", "Does it still find fraud? Labels come late: each figure says until when it is known.", [
        Panel("Versions", "Who is champion and challenger in each process.", {"{{slot}} {{version}}": "fraud_model_info"}, kind="stat"),
        Panel("Alerted", "Share of payments reviewed or declined; there is room for 1 %.",
              {"last hour": "fraud:alerted:ratio_rate1h", "window": "fraud_window_alert_ratio", "reference": "fraud_reference_alert_ratio"},
              "percentunit", ((0.012, RED),)),
        Panel("Scores", "Quantiles of the answered score.",
              {f"p{q}": f"histogram_quantile({q / 100}, sum by (le) (rate(fraud_score_bucket[{RATE}])))" for q in (50, 90, 99)},
              "percentunit"),
        *(Panel(name.replace("_", " ").capitalize(), "On matured labels, with its 95 % interval.",
                {"{{bound}}": f"fraud_matured_{name}_ratio"}, "percentunit") for name in bounds),
        Panel("Known until", "Payments up to this day have settled labels.", {"day": "fraud_matured_until_timestamp_seconds * 1000"},
              "dateTimeAsIso", kind="stat", least=None),
        Panel("Label delay", "From payment to label, of the frauds reported in the last 7 days.",
              {"{{quantile}}": "fraud_label_delay_seconds"}, "s"),
        Panel("Frauds known", "Beside those that the reference promised by now.",
              {"known": "fraud_known_frauds", "expected": "fraud_expected_frauds"}),
        Panel("Newest label behind newest payment", "Event time; over 3 days wants a question to the source.",
              {"lag": "fraud_log_newest_payment_timestamp_seconds - fraud_newest_label_timestamp_seconds"}, "s", ((3 * 86_400, RED),),
              least=None),
    ])  # fmt: skip


def drift() -> dict[str, Any]:
    """What moved."""
    return board("fraud-drift", "Fraud: drift", "What changed in payments, and what monitoring makes of it.", [
        Panel("Verdict", "What the last window asks for.", {"{{action}}": "fraud_verdict == 1"}, kind="stat"),
        Panel("Window until", "End of the last window that was judged, in event time.",
              {"end": "fraud_window_end_timestamp_seconds * 1000"}, "dateTimeAsIso", kind="stat", least=None),
        Panel("Detectors", "1 for those that alarmed.", {"{{detector}}": "fraud_detector_alarmed"}, limits=((1, RED),), kind="bargauge"),
        Panel("Distance over threshold", "Columns by how far they are from the reference; 1 alarms.",
              {"{{column}}": "fraud_drift_distance / fraud_drift_threshold_distance"}, "short", ((1, RED),), kind="bargauge", width=12),
        Panel("Fields missing", "Share of a channel's payments without a field; a place online is never there.",
              {"{{field}} {{channel}}": "fraud:null_values:ratio_rate1h"}, "percentunit", ((0.05, RED),), width=12),
        Panel("Unseen levels", "Share of payments with a word that no model knows.", {"{{field}}": "fraud:unseen_levels:ratio_rate1h"},
              "percentunit", ((0.01, RED),)),
        Panel("Beyond the training rows", "Share of payments, by feature. Ages and counts grow with the lab; an amount should not.",
              {"{{feature}}": "topk(10, fraud:out_of_range_values:ratio_rate1h)"}, "percentunit", ((0.001, RED),)),
        Panel("Event time behind the wall clock", "Days; far from 0 in a simulation, and near it in life.",
              {"newest payment": "time() - max(fraud_newest_event_timestamp_seconds)"}, "s", least=None),
        Panel("Duties", "Since each duty of the worker last succeeded.",
              {"{{duty}}": "time() - fraud_duty_success_timestamp_seconds"}, "s", ((1800, RED),)),
    ], span="now-6h")  # fmt: skip


def rollout() -> dict[str, Any]:
    """How far, on which evidence."""
    return board("fraud-rollout", "Fraud: rollout", "How far the challenger is, and on which evidence.", [
        Panel("State", "Where the last rollout is, or how it ended.", {"{{state}}": "fraud_rollout_state == 1"}, kind="stat", width=6),
        Panel("Share", "Of the cards that the challenger answers.", {"share": "fraud_rollout_share_ratio"}, "percentunit", width=6),
        Panel("Registered", "Champion and challenger of the ledger.", {"{{alias}} {{version}}": "fraud_registered_info"},
              kind="stat", width=6),
        Panel("Held", "1 while the judge or an operator holds it.", {"paused": "fraud_rollout_paused"}, limits=((1, YELLOW),),
              kind="stat", width=6),
        Panel("Evidence", "Odds against chance per guardrail, as powers of ten: 2 is 100 to 1.",
              {"{{guardrail}}": "fraud_rollout_e_value_log10"}, "short", ((2, YELLOW),), least=None, width=12),
        Panel("Cost of the challenger", "EUR per thousand payments more than the champion's, with its interval; matured labels only.",
              {"{{bound}}": "fraud_rollout_cost_eur_per_thousand"}, "currencyEUR", ((0, YELLOW),), least=None, width=12),
        Panel("Payments", "Seen in this step, and those of all steps whose labels have matured.",
              {"step": "fraud_rollout_payments", "matured": "fraud_rollout_matured_payments", "frauds": "fraud_rollout_matured_frauds"}),
        Panel("Challenger's failures", "Payments that it could not score; the champion answered them.",
              {"payments": f"sum(rate(fraud_challenger_errors_total[{RATE}]))"}, "reqps", ((0.001, RED),)),
        Panel("Answers by arm", "Payments per second.", {"{{arm}}": f"sum by (arm) (rate(fraud_decisions_total[{RATE}]))"}, "reqps"),
    ])  # fmt: skip


def business() -> dict[str, Any]:
    """Money and people."""
    return board("fraud-business", "Fraud: business", "What it is worth, and what it asks of customers and the fraud team.", [
        Panel("Saved", "EUR per thousand payments against approving all, on matured labels, with its 95 % interval.",
              {"{{bound}}": "fraud_matured_saved_eur_per_thousand"}, "currencyEUR", least=None),
        Panel("Payments", "Answered per second.", {"payments": f"sum(rate(fraud_decisions_total[{RATE}]))"}, "reqps"),
        Panel("Decisions", "Share of each.",
              {"{{decision}}": f"sum by (decision) (rate(fraud_decisions_total[{RATE}]))"
                               f" / on () group_left sum(rate(fraud_decisions_total[{RATE}]))"},
              "percentunit"),
        Panel("Reviews an hour", "Work for the fraud team.", {"reviews": 'sum(rate(fraud_decisions_total{decision="review"}[1h])) * 3600'}),
        Panel("Declines an hour", "Customers who could not pay.",
              {"declines": 'sum(rate(fraud_decisions_total{decision="decline"}[1h])) * 3600'}),
        Panel("Frauds reported", "Labels that said fraud, per hour; late as they are.",
              {"frauds": 'sum(rate(fraud_labels_total{is_fraud="true"}[1h])) * 3600'}),
        Panel("Payments by channel", "Per second.", {"{{channel}}": f"sum by (channel) (rate(fraud_payments_total[{RATE}]))"}, "reqps"),
        Panel("Frauds reported in 7 days", "Of event time.", {"frauds": "fraud_recent_fraud_reports"}, kind="stat"),
    ], span="now-24h")  # fmt: skip


def boards() -> dict[str, dict[str, Any]]:
    """All of them by uid."""
    return {made["uid"]: made for made in (service(), model(), drift(), rollout(), business())}
