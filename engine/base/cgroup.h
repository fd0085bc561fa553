/* What the control groups that this process is in leave to it (cgroups(7), version 1 and 2).
 *
 * Thread: any.
 */
#ifndef ENGINE_BASE_CGROUP_H
#define ENGINE_BASE_CGROUP_H

/* The processors of the least quota among this process's group and those above it, rounded up; 0
 * where none has one. root: put before the paths of /proc and /sys; "" outside of tests. */
int cgroup_processors(const char *root);

#endif
