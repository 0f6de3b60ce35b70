"""What a recipe will cost: calls, tokens and money, from a sample that is really asked.

```python
found = estimate(read_recipe(Path("recipe.yaml")), Path("runs/demo"), RunOptions(), rows=20)
found.cost  # Range(low=5.64, high=6.06), USD
```

The sample's requests are requests of the full run, and their replies go into its ledger: a run in
the same folder does not ask for them again.
"""

from wavecoder.estimate.figures import Estimate, ModelEstimate, Range
from wavecoder.estimate.recipe import estimate

__all__ = ["Estimate", "ModelEstimate", "Range", "estimate"]
