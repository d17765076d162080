"""The passes: each takes a draft of the plan and gives the next, with choices and reasons."""
