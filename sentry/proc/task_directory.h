#pragma once

// /proc/PID and /proc/PID/task/TID.

#include "sentry/kernel/kernel.h"
#include "vfs/fs/pseudo/pseudo.h"

namespace proc {

enum class TaskLevel { kProcess, kThread };

// The directory of one task. It keeps the task alive as an object; once the task is gone its files say ESRCH.
RefPtr<pseudo::Node> MakeTaskDirectory(vfs::FileSystem* fs, RefPtr<kernel::Task> task, TaskLevel level, const kernel::PidNamespace& ns);

// Whether the task of a directory that MakeTaskDirectory made has not been reaped.
bool IsOfLivingTask(const vfs::Inode& task_directory);

// What /proc/PID/net is, the same for all processes of a proc file system; proc_fs.cc.
RefPtr<pseudo::Node> NetDirectory(vfs::FileSystem& proc_fs);

// --- the contents, task_files.cc ---
using kernel::Task;
Result<std::string> StatText(Task& task, const kernel::PidNamespace& ns, TaskLevel level);
Result<std::string> StatusText(Task& task, const kernel::PidNamespace& ns);
Result<std::string> StatmText(Task& task);
Result<std::string> MapsText(Task& task, bool smaps, bool rollup);
Result<std::string> LimitsText(Task& task);
Result<std::string> MountsText(Task& task);
Result<std::string> MountinfoText(Task& task);
Result<std::string> CmdlineText(Task& task);
Result<std::string> EnvironText(Task& task);
Result<std::string> AuxvText(Task& task);

}  // namespace proc
