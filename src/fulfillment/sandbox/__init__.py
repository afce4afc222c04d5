"""Moves a partner's orders with the warehouse's own operations, by a clock and a scenario; mounted in the sandbox only.

Owns: sandbox_states, sandbox_plans. Promises: what it does the warehouse could have done; with a test clock the same
calls give the same order of ids, the same times and the same outcomes.
"""
