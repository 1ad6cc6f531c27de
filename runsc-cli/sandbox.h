#pragma once

// The life of a sandbox as the verbs see it: create, start, destroy.

#include <string>

#include "base/fd.h"
#include "runsc-cli/launch.h"
#include "runsc-cli/options.h"
#include "runsc-cli/state_store.h"
#include "sentry/control/client.h"

namespace cli {

struct CreateRequest {
  const Options* options = nullptr;
  std::string id, bundle;
  boot::Spec spec;
  std::string spec_text;  // kept beside the state, for exec and poststop hooks; empty: not kept
  std::string pid_file, console_socket;
  int preserve_fds = 0;
  bool start_at_once = false;
  // The caller stays and waits: the sandbox dies with it, and a terminal without console socket is
  // served by it.
  bool foreground = false;
};

struct CreatedSandbox {
  ContainerDir dir;
  ContainerState state;
  Fd console_master;  // foreground and terminal: to be served
};

// Leaves nothing behind when it fails.
boot::StatusOr<CreatedSandbox> CreateSandbox(CreateRequest request);

// After start: records it and runs the poststart hooks.
boot::Status MarkStarted(const ContainerDir& dir, ContainerState& state, const boot::Hooks& hooks);

// Kills what lives, removes the cgroup and the directory, runs the poststop hooks.
boot::Status DestroySandbox(ContainerDir& dir, const ContainerState& state);

// A connection to the container's Sentry. An error that says "container not running" when there is
// none.
boot::StatusOr<control::Client> ConnectTo(const StateStore& store, const ContainerState& state);

// Checks a terminal request against --console-socket as callers expect.
boot::Status CheckConsole(bool terminal, const std::string& console_socket, bool foreground);

}  // namespace cli
