"""Contracts that every task, runtime and engine keeps; third parties may import and run them on theirs."""
