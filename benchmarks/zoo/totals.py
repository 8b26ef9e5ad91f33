"""What all set-ups together say."""

import statistics

WAYS = ("fused", "xla", "keras", "fit")
RATIOS = ("epoch", "call", "published")
SLOWER = 0.97  # a ratio below is no matter of chance
MOST_GAP = 1e-5
MOST_KERAS_GAPS = 2


def totals(results):
    """Shares and geometric means by way, and lists of what is not as it should be.

    Args:
        results: What `measured` returned for each, or its description with an "error".
    """
    trained = [result for result in results if "ratios" in result]
    by_way = {}
    for way in WAYS:
        if found := [result for result in trained if result["way"] == way]:
            by_way[way] = _together(found, len(results))
    return {
        "set_ups": len(results),
        "ways": by_way,
        "all": _together(trained, len(results)) if trained else None,
        "refused": [result["name"] for result in results if result.get("way") == "refused"],
        "failed": [result["name"] for result in results if "error" in result],
        "slower": {
            name: [r["name"] for r in trained if r["ratios"][name] < SLOWER] for name in RATIOS
        },
        "wrong": [result["name"] for result in trained if is_wrong(result)],
    }


def is_wrong(result):
    """Whether the losses are further apart than Keras' are from its own, compiled."""
    theirs = result["keras_gap"] or 0.0
    return not result["drawn"] and result["gap"] > max(MOST_GAP, MOST_KERAS_GAPS * theirs)


def _together(results, count):
    means = {
        name: statistics.geometric_mean(values)
        for name in (*RATIOS, "best")
        if (values := [r["ratios"][name] for r in results if name in r["ratios"]])
    }
    return {"count": len(results), "share": len(results) / count, "ratios": means}
