from pathlib import Path

# Root of the checkout.
ROOT = Path(__file__).resolve().parents[1]
