#pragma once

// The line discipline of terminals, termios(3): what becomes of characters between a terminal's line and its readers and
// writers. Pure state: bytes go in, bytes, signals and wake-ups come out by the Line interface. Linux calls it N_TTY.

#include <sys/ioctl.h>

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace devpts {

// The kernel's struct termios2; struct termios is its first kShortSize bytes. Flag bits are those of <termios.h>.
struct Termios {
  uint32_t iflag, oflag, cflag, lflag;
  uint8_t line;
  uint8_t cc[19];
  uint32_t ispeed, ospeed;
  static constexpr size_t kShortSize = 36;
  static Termios Default();
};
static_assert(sizeof(Termios) == 44);

class LineDiscipline {
 public:
  // The other side: the terminal that the discipline is part of.
  class Line {
   public:
    virtual ~Line() = default;
    virtual void Signal(int signal) = 0;           // to the foreground process group
    virtual void FlushOutput() = 0;                // ISIG without NOFLSH
    virtual void OnStopped(bool stopped) = 0;      // output was stopped or started (IXON)
  };
  explicit LineDiscipline(Line& line) : line_(line) {}

  const Termios& termios() const { return termios_; }
  void SetTermios(const Termios& termios);

  // --- from the line ---
  // Takes characters that were typed; echoes go to `output`. Returns how many were taken: fewer when the reader is behind.
  size_t Type(std::string_view bytes, std::string* output);

  // --- to readers ---
  // Whether read(2) has something: a line in canonical mode, `minimum` characters else.
  bool Readable(size_t minimum) const;
  // Takes up to `size` characters; in canonical mode no more than a line. An empty result is the end of file (^D).
  std::string Take(size_t size);
  size_t pending() const;  // FIONREAD
  size_t buffered() const { return input_.size(); }
  bool canonical() const;
  void FlushInput();

  // --- from writers ---
  // Output processing (OPOST).
  void Print(std::string_view bytes, std::string* output);

  bool stopped() const { return stopped_; }
  void SetStopped(bool stopped);

 private:
  static constexpr size_t kCapacity = 4096;

  // Where a line in input_ ends, as a count of characters since the beginning.
  using Position = uint64_t;

  bool Local(uint32_t flag) const { return (termios_.lflag & flag) != 0; }
  bool Input(uint32_t flag) const { return (termios_.iflag & flag) != 0; }
  bool Is(int which, uint8_t c) const { return termios_.cc[which] == c && c != 0; }
  // An unfinished line begins here.
  Position line_start() const { return line_ends_.empty() ? begin_ : line_ends_.back(); }
  Position end() const { return begin_ + input_.size(); }

  bool HasRoom() const;
  void TypeOne(uint8_t c);
  bool TypeSpecial(uint8_t c);     // true: dealt with
  bool EditLine(uint8_t c);        // canonical mode; true: dealt with
  void Store(uint8_t c);
  void EndLine();
  void SignalFromKey(int signal, uint8_t c);
  void Erase(uint8_t key);
  void EraseOnScreen(uint8_t c);
  void FinishErasing();
  void Reprint();
  void EchoByte(uint8_t c);        // as is, but for output processing
  void Echo(uint8_t c);            // with ECHOCTL: ^X
  bool IsContinuation(uint8_t c) const;
  void PrintOne(uint8_t c, std::string* output);
  static int Width(uint8_t c, bool control_as_two);

  Line& line_;
  Termios termios_ = Termios::Default();
  std::string input_;
  Position begin_ = 0;               // of input_
  std::deque<Position> line_ends_;
  bool literal_next_ = false;        // after VLNEXT
  bool erasing_ = false;             // within a \.../ of ECHOPRT
  bool stopped_ = false;
  int column_ = 0;                   // of the output
  int line_column_ = 0;              // where the unfinished line began
  std::string* output_ = nullptr;    // while Type runs
};

}  // namespace devpts
