#pragma once

// The option strings of a mount in an OCI specification (those of mount(8)) as mount(2) flags and
// data.

#include "sentry/boot/spec.h"

namespace boot {

// Fills flags, clear_flags, propagation and data of `mount` from its options.
void ParseMountOptions(MountSpec& mount);

}  // namespace boot
