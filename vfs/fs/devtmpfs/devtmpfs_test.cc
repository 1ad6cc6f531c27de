#include "vfs/fs/devtmpfs/devtmpfs.h"

#include <gtest/gtest.h>
#include <sys/sysmacros.h>

#include "vfs/fs/tmpfs/tmpfs.h"
#include "vfs/special_file.h"
#include "vfs/testing/world.h"

namespace devtmpfs {
namespace {

using namespace vfs;  // NOLINT: the harness

World NewDev() {
  Register();
  auto creds = MakeRef<Credentials>();
  return World(Create("dev", "", *creds).value());
}

TEST(Devtmpfs, HasWhatContainersExpect) {
  RunOnFiber([] {
    World w = NewDev();
    EXPECT_EQ(w.List("/"), (std::vector<std::string>{"console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random",
                                                     "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"}));
    EXPECT_EQ(w.Stat("/null")->rdev, makedev(1, 3));
    EXPECT_EQ(w.Stat("/null")->mode, S_IFCHR | 0666u);
    EXPECT_EQ(*vfs::ReadLink(w.context, "/ptmx", 0), "pts/ptmx");
    EXPECT_EQ(w.Stat("/shm")->mode, S_IFDIR | 01777u);
    EXPECT_EQ(w.ns->root()->fs()->name(), "devtmpfs");
    // Again over what is there.
    EXPECT_EQ(ErrorOf(Populate(w.context)), Errno{});
  });
}

TEST(Devtmpfs, MemoryDevices) {
  RunOnFiber([] {
    World w = NewDev();
    char buffer[300];
    IoVec io(buffer, sizeof buffer);
    RefPtr<FileDescription> null = w.Open("/null", O_RDWR).value();
    EXPECT_EQ(*null->Read(io), 0u);
    EXPECT_EQ(*null->Write(io), sizeof buffer);
    EXPECT_EQ(*null->Seek(100, SEEK_END), 0);
    buffer[7] = 'x';
    RefPtr<FileDescription> zero = w.Open("/zero", O_RDWR).value();
    EXPECT_EQ(*zero->Read(io), sizeof buffer);
    EXPECT_EQ(buffer[7], 0);
    EXPECT_EQ(*zero->Write(io), sizeof buffer);
    EXPECT_TRUE(zero->Map().ok());
    RefPtr<FileDescription> full = w.Open("/full", O_RDWR).value();
    EXPECT_EQ(ErrorOf(full->Write(io)), Errno::kENOSPC);
    EXPECT_EQ(*full->Read(io), sizeof buffer);
    RefPtr<FileDescription> random = w.Open("/urandom", O_RDWR).value();
    EXPECT_EQ(*random->Read(io), sizeof buffer);
    EXPECT_NE(std::string(buffer, sizeof buffer), std::string(sizeof buffer, '\0'));
    EXPECT_EQ(*random->Write(io), sizeof buffer);
  });
}

TEST(Devtmpfs, NodesElsewhereOpenTheSameDevices) {
  RunOnFiber([] {
    RegisterMemoryDevices();
    auto creds = MakeRef<Credentials>();
    World w(tmpfs::TmpFileSystem::Create("t", "", *creds).value());
    CHECK_OK(Mknod(w.context, "/mynull", S_IFCHR | 0666, makedev(1, 3)));
    CHECK_OK(Mknod(w.context, "/none", S_IFCHR | 0666, makedev(99, 3)));
    EXPECT_EQ(w.ReadFile("/mynull"), "");
    EXPECT_EQ(ErrorOf(w.Open("/none", O_RDONLY)), Errno::kENXIO);
    w.ns->root()->flags |= MS_NODEV;
    EXPECT_EQ(ErrorOf(w.Open("/mynull", O_RDONLY)), Errno::kEACCES);
    CHECK_OK(Mknod(w.context, "/socket", S_IFSOCK | 0666, 0));
    EXPECT_EQ(ErrorOf(w.Open("/socket", O_RDWR)), Errno::kENXIO);
    RegisterCharDevice(200, kAnyMinor, [](const SpecialOpen& open) -> Result<RefPtr<FileDescription>> {
      EXPECT_EQ(minor(open.place.inode().Stat()->rdev), 77u);
      return Errno::kEIO;
    });
    w.ns->root()->flags &= ~static_cast<unsigned long>(MS_NODEV);
    CHECK_OK(Mknod(w.context, "/many", S_IFCHR | 0666, makedev(200, 77)));
    EXPECT_EQ(ErrorOf(w.Open("/many", O_RDONLY)), Errno::kEIO);
  });
}

}  // namespace
}  // namespace devtmpfs
