# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Ledger
#
# Every claim of the book on one page: its verdict, the measured statistic with its interval over seeds,
# the control, and where the records come from. How a verdict comes about is told in the
# [introduction](intro.md). The rules are data, `book/claims.yml`; none of the verdicts is written by
# hand.

# %% tags=["parameters"]
profile = "laptop"
device = "auto"
records = "_build/records"

# %% tags=["remove-input"]
from hierlearn import pages

ledger = pages.open_ledger(profile=profile, device=device, records=records)
ledger.compute()
ledger.table()
ledger.provenance()
