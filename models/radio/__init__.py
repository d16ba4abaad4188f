"""RADIO: reference-agnostic dubbing video synthesis (Lee et al., WACV 2024)."""
