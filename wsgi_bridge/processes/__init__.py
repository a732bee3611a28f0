"""Worker processes: consumers in processes of their own, which may crash, grow and be replaced.

supervisor   the parent: starts children, restarts and replaces them; imports nothing of the site
child        a worker process: loads the target, opens its layer, runs its consumers
control      the thread of a child that hears the parent and watches the rest of the child
link         what parent and child tell each other
board        what a child is busy with, as its parent sees it when it has died
target       from `module:attribute` to a Bridge, and what is wrong with it
files        which files of the site have changed
systemd      how systemd is told
"""
