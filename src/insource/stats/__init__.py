"""Pure mathematics of evidence: intervals, paired tests, risk control, sequential tests, agreement (DESIGN §6).

Nothing here knows what an exchange or a candidate is. Every function is pure; every formula names its source.
"""
