#pragma once

// execve's loading: ELF64 x86-64 static, static-PIE and dynamic programs, interpreter scripts, the initial stack with
// argv, envp and auxv as in Linux (fs/binfmt_elf.c), the vDSO.

#include <functional>
#include <string>
#include <vector>

#include "base/credentials.h"
#include "base/ref.h"
#include "base/result.h"
#include "sentry/mm/memory_manager.h"
#include "vfs/file_description.h"

namespace loader {

// The vDSO that every new image gets; set once at start-up, absent in unit tests.
struct VdsoImage {
  RefPtr<vfs::Mappable> mappable;  // parameter page(s) followed by the image
  uint64_t size = 0;               // whole, page aligned
  uint64_t image_offset = 0;       // of the ELF header: AT_SYSINFO_EHDR
};
void SetVdso(VdsoImage image);

struct ExecRequest {
  RefPtr<vfs::FileDescription> file;   // opened for execution, permission checked
  std::string filename;                // AT_EXECFN, script argument
  std::vector<std::string> argv, envp;
  RefPtr<const Credentials> creds;     // after set-user-ID treatment: AT_UID..., AT_SECURE
  bool secure = false;
  bool traced = false;                 // a debugger is to see the code as it is in the files
  uint64_t stack_limit = 8 << 20;
  // Opens another file for execution (interpreters): absolute or relative to the caller's directories.
  std::function<Result<RefPtr<vfs::FileDescription>>(const std::string& path)> open;
};

struct ExecImage {
  RefPtr<mm::MemoryManager> memory;
  uint64_t entry = 0;            // initial rip
  uint64_t stack_pointer = 0;    // initial rsp
  RefPtr<vfs::FileDescription> executable;  // the ELF file itself (behind a script: its interpreter), for /proc/PID/exe
  std::string comm;              // basename of the filename, 15 bytes
};

// Builds a new address space for the request. The caller's own memory is untouched, so a failure before the point of no
// return is just an errno: ENOEXEC, E2BIG, ENOENT (missing interpreter), EACCES, ELOOP (scripts nested too deep), ENOMEM, EINVAL,
// ELIBBAD-like ENOEXEC for a bad interpreter. On a fiber.
Result<ExecImage> Load(platform::Platform& platform, const ExecRequest& request);

}  // namespace loader
