#include "vfs/fs/devpts/line_discipline.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <termios.h>

namespace devpts {
namespace {

class LineDisciplineTest : public testing::Test, public LineDiscipline::Line {
 protected:
  void Signal(int signal) override { signals_ += std::to_string(signal) + " "; }
  void FlushOutput() override { flushes_++; }
  void OnStopped(bool) override {}

  // Types and returns the echo.
  std::string Type(std::string_view bytes) {
    std::string echo;
    EXPECT_EQ(line_.Type(bytes, &echo), bytes.size());
    return echo;
  }
  std::string Print(std::string_view bytes) {
    std::string output;
    line_.Print(bytes, &output);
    return output;
  }
  std::string Read(size_t size = 100) { return line_.Readable(1) ? line_.Take(size) : "EAGAIN"; }
  void Change(void (*change)(Termios&)) {
    Termios t = line_.termios();
    change(t);
    line_.SetTermios(t);
  }

  LineDiscipline line_{*this};
  std::string signals_;
  int flushes_ = 0;
};

TEST_F(LineDisciplineTest, ALineAtATime) {
  EXPECT_EQ(Type("one"), "one");
  EXPECT_EQ(Read(), "EAGAIN");
  EXPECT_EQ(line_.pending(), 0u);
  EXPECT_EQ(Type("\rtwo\nrest"), "\r\ntwo\r\nrest");
  EXPECT_EQ(line_.pending(), 8u);
  EXPECT_EQ(Read(2), "on");
  EXPECT_EQ(Read(), "e\n");
  EXPECT_EQ(Read(), "two\n");
  EXPECT_EQ(Read(), "EAGAIN");
}

TEST_F(LineDisciplineTest, EndOfFile) {
  EXPECT_EQ(Type("text\4"), "text");
  EXPECT_EQ(Read(), "text");
  EXPECT_EQ(Read(), "EAGAIN");
  Type("\4");
  EXPECT_EQ(Read(), "");
  EXPECT_EQ(Read(), "EAGAIN");
}

TEST_F(LineDisciplineTest, EraseKillAndWordErase) {
  EXPECT_EQ(Type("ab\x7f"), "ab\b \b");
  EXPECT_EQ(Type("\x7f\x7f"), "\b \b");  // nothing left for the second
  EXPECT_EQ(Type("x\1\x7f"), "x^A\b \b\b \b");
  EXPECT_EQ(Type("y two_3 \x17"), "y two_3 \b \b\b \b\b \b\b \b\b \b\b \b");
  Type("\n");
  EXPECT_EQ(Read(), "xy \n");
  EXPECT_EQ(Type("abc\x15"), "abc\b \b\b \b\b \b");
  Type("d\n");
  EXPECT_EQ(Read(), "d\n");
  Change([](Termios& t) { t.lflag &= ~ECHOKE; });
  EXPECT_EQ(Type("abc\x15"), "abc^U\r\n");
}

TEST_F(LineDisciplineTest, ErasesTabsToWhereTheyBegan) {
  Print("> ");
  EXPECT_EQ(Type("ab\tc\x7f\x7f"), "ab\tc\b \b\b\b\b\b");
}

TEST_F(LineDisciplineTest, ErasesWholeCharactersOfUtf8) {
  Change([](Termios& t) { t.iflag |= IUTF8; });
  EXPECT_EQ(Type("\xc3\xa4\x7f"), "\xc3\xa4\b \b");
  Type("b\n");
  EXPECT_EQ(Read(), "b\n");
}

TEST_F(LineDisciplineTest, EchoPrt) {
  Change([](Termios& t) { t.lflag |= ECHOPRT; });
  EXPECT_EQ(Type("abc\x7f\x7fx"), "abc\\cb/x");
}

TEST_F(LineDisciplineTest, LiteralNextAndReprint) {
  EXPECT_EQ(Type("\x16\x03"), "^\b^C");
  EXPECT_EQ(signals_, "");
  EXPECT_EQ(Type("z\x12"), "z^R\r\n^Cz");
  Type("\n");
  EXPECT_EQ(Read(), "\3z\n");
}

TEST_F(LineDisciplineTest, Signals) {
  EXPECT_EQ(Type("lost\3"), "lost^C");
  EXPECT_EQ(Type("\x1c\x1a"), "^\\^Z");
  EXPECT_EQ(signals_, std::to_string(SIGINT) + " " + std::to_string(SIGQUIT) + " " + std::to_string(SIGTSTP) + " ");
  EXPECT_EQ(flushes_, 3);
  Type("\n");
  EXPECT_EQ(Read(), "\n");
  Change([](Termios& t) { t.lflag |= NOFLSH; });
  Type("kept\3\n");
  EXPECT_EQ(Read(), "kept\n");
  EXPECT_EQ(flushes_, 3);
  Change([](Termios& t) { t.lflag &= ~ISIG; });
  Type("\3\n");
  EXPECT_EQ(Read(), "\3\n");
}

TEST_F(LineDisciplineTest, FlowControl) {
  EXPECT_EQ(Type("\x13"), "");
  EXPECT_TRUE(line_.stopped());
  Type("a");
  EXPECT_TRUE(line_.stopped());
  Type("\x11");
  EXPECT_FALSE(line_.stopped());
  Change([](Termios& t) { t.iflag |= IXANY; });
  Type("\x13z");
  EXPECT_FALSE(line_.stopped());
  Type("\x13");
  Change([](Termios& t) { t.iflag &= ~IXON; });
  EXPECT_FALSE(line_.stopped());
}

TEST_F(LineDisciplineTest, RawMode) {
  Change([](Termios& t) {
    t.lflag &= ~(ICANON | ECHO | ISIG | IEXTEN);
    t.iflag = 0;
    t.oflag = 0;
  });
  EXPECT_EQ(Type("\3\r\x7f"), "");
  EXPECT_TRUE(line_.Readable(3));
  EXPECT_FALSE(line_.Readable(4));
  EXPECT_EQ(Read(), "\3\r\x7f");
  EXPECT_EQ(Print("a\nb"), "a\nb");
  std::string echo;
  EXPECT_EQ(line_.Type(std::string(5000, 'x'), &echo), 4096u);
  EXPECT_EQ(line_.Type("y", &echo), 0u);
}

TEST_F(LineDisciplineTest, ModesMayChangeWithInputPending) {
  Type("half");
  Change([](Termios& t) { t.lflag &= ~ICANON; });
  EXPECT_EQ(Read(2), "ha");
  Change([](Termios& t) { t.lflag |= ICANON; });
  EXPECT_EQ(Read(), "lf");
}

TEST_F(LineDisciplineTest, ALineThatIsTooLongIsCutButCanBeEnded) {
  Type(std::string(6000, 'x') + "\n");
  EXPECT_EQ(Read(10000), std::string(4095, 'x') + "\n");
  EXPECT_EQ(Read(), "EAGAIN");
}

TEST_F(LineDisciplineTest, OutputProcessing) {
  EXPECT_EQ(Print("a\tb\n"), "a\tb\r\n");
  Change([](Termios& t) { t.oflag |= XTABS | OLCUC; });
  EXPECT_EQ(Print("a\tb"), "A       B");
  Change([](Termios& t) { t.oflag = OPOST | OCRNL; });
  EXPECT_EQ(Print("\r"), "\n");
  Change([](Termios& t) { t.oflag = OPOST | ONOCR; });
  EXPECT_EQ(Print("x\r\ry"), "x\ry");
}

TEST_F(LineDisciplineTest, NoEchoButNewline) {
  Change([](Termios& t) {
    t.lflag &= ~ECHO;
    t.lflag |= ECHONL;
  });
  EXPECT_EQ(Type("secret\n"), "\r\n");
}

TEST_F(LineDisciplineTest, InputMapping) {
  Change([](Termios& t) { t.iflag = INLCR | ISTRIP; });
  Type("\xe1\n\4");
  EXPECT_EQ(Read(), "a\r");
  Change([](Termios& t) { t.iflag = IGNCR; });
  Type("a\rb\n");
  EXPECT_EQ(Read(), "ab\n");
}

}  // namespace
}  // namespace devpts
