"""The oracle: what was promised against what is there, found out by its own means and never through edged's code.

It knows the log's two promising events, the two databases' tables, the files and the mails. A test holds that nothing
here imports edged.
"""
