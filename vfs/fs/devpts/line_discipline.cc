#include "vfs/fs/devpts/line_discipline.h"

#include <signal.h>
#include <termios.h>

#include <algorithm>
#include <cctype>

namespace devpts {

namespace {
bool IsControl(uint8_t c) { return c < 0x20 || c == 0x7f; }
constexpr size_t kMaxEcho = 64 * 1024;  // echoes beyond are lost, as on a line that nobody reads
}  // namespace

Termios Termios::Default() {
  Termios t = {};
  t.iflag = ICRNL | IXON;
  t.oflag = OPOST | ONLCR;
  t.cflag = B38400 | CS8 | CREAD;
  t.lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
  t.cc[VINTR] = 3;
  t.cc[VQUIT] = 034;
  t.cc[VERASE] = 0177;
  t.cc[VKILL] = 025;
  t.cc[VEOF] = 4;
  t.cc[VMIN] = 1;
  t.cc[VSTART] = 021;
  t.cc[VSTOP] = 023;
  t.cc[VSUSP] = 032;
  t.cc[VREPRINT] = 022;
  t.cc[VDISCARD] = 017;
  t.cc[VWERASE] = 027;
  t.cc[VLNEXT] = 026;
  t.ispeed = t.ospeed = 38400;
  return t;
}

bool LineDiscipline::canonical() const { return Local(ICANON); }

void LineDiscipline::SetTermios(const Termios& termios) {
  const uint32_t changed = termios.lflag ^ termios_.lflag;
  termios_ = termios;
  if ((changed & ICANON) != 0) {
    // What is there stays readable: as one line if lines are wanted from now on.
    line_ends_.clear();
    if (canonical() && !input_.empty()) line_ends_.push_back(end());
    literal_next_ = erasing_ = false;
  }
  if (!Input(IXON) && stopped_) SetStopped(false);
}

void LineDiscipline::SetStopped(bool stopped) {
  if (stopped_ == stopped) return;
  stopped_ = stopped;
  line_.OnStopped(stopped);
}

// --- reading ---

bool LineDiscipline::Readable(size_t minimum) const {
  return canonical() ? !line_ends_.empty() : input_.size() >= std::max<size_t>(minimum, 1);
}

std::string LineDiscipline::Take(size_t size) {
  if (canonical()) {
    if (line_ends_.empty()) return "";
    size = std::min<size_t>(size, line_ends_.front() - begin_);
  } else {
    size = std::min(size, input_.size());
  }
  std::string taken = input_.substr(0, size);
  input_.erase(0, size);
  begin_ += size;
  if (!line_ends_.empty() && line_ends_.front() == begin_) line_ends_.pop_front();
  return taken;
}

size_t LineDiscipline::pending() const {
  if (!canonical()) return input_.size();
  return line_ends_.empty() ? 0 : line_ends_.back() - begin_;
}

void LineDiscipline::FlushInput() {
  begin_ = end();
  input_.clear();
  line_ends_.clear();
  literal_next_ = erasing_ = false;
}

// --- typing ---

bool LineDiscipline::HasRoom() const {
  // An unfinished line that fills the buffer loses what does not fit, so that its end can still be typed.
  return input_.size() < kCapacity || (canonical() && line_ends_.empty());
}

size_t LineDiscipline::Type(std::string_view bytes, std::string* output) {
  output_ = output;
  size_t taken = 0;
  for (; taken < bytes.size() && HasRoom(); taken++) TypeOne(static_cast<uint8_t>(bytes[taken]));
  output_ = nullptr;
  return taken;
}

void LineDiscipline::TypeOne(uint8_t c) {
  if (Input(ISTRIP)) c &= 0x7f;
  if (Input(IUCLC) && Local(IEXTEN)) c = static_cast<uint8_t>(tolower(c));
  if (literal_next_) {
    literal_next_ = false;
  } else if (Local(EXTPROC)) {
    Store(c);
    return;
  } else {
    if (TypeSpecial(c)) return;
    if (stopped_ && Input(IXON) && Input(IXANY)) SetStopped(false);
    if (c == '\r') {
      if (Input(IGNCR)) return;
      if (Input(ICRNL)) c = '\n';
    } else if (c == '\n' && Input(INLCR)) {
      c = '\r';
    }
    if (canonical() && EditLine(c)) return;
  }
  if (Local(ECHO)) {
    FinishErasing();
    if (line_start() == end()) line_column_ = column_;
    if (c == '\n') {
      EchoByte(c);
    } else {
      Echo(c);
    }
  }
  if (c == 0xff && Input(PARMRK)) Store(c);
  Store(c);
}

bool LineDiscipline::TypeSpecial(uint8_t c) {
  if (Input(IXON)) {
    if (Is(VSTART, c)) return SetStopped(false), true;
    if (Is(VSTOP, c)) return SetStopped(true), true;
  }
  if (Local(ISIG)) {
    if (Is(VINTR, c)) return SignalFromKey(SIGINT, c), true;
    if (Is(VQUIT, c)) return SignalFromKey(SIGQUIT, c), true;
    if (Is(VSUSP, c)) return SignalFromKey(SIGTSTP, c), true;
  }
  return false;
}

void LineDiscipline::SignalFromKey(int signal, uint8_t c) {
  if (!Local(NOFLSH)) {
    FlushInput();
    line_.FlushOutput();
  }
  if (Input(IXON)) SetStopped(false);
  if (Local(ECHO)) Echo(c);
  line_.Signal(signal);
}

bool LineDiscipline::EditLine(uint8_t c) {
  const bool extended = Local(IEXTEN);
  if (Is(VERASE, c) || Is(VKILL, c) || (extended && Is(VWERASE, c))) return Erase(c), true;
  if (extended && Is(VLNEXT, c)) {
    literal_next_ = true;
    if (Local(ECHO)) {
      FinishErasing();
      if (Local(ECHOCTL)) {
        EchoByte('^');
        EchoByte('\b');
      }
    }
    return true;
  }
  if (extended && Is(VREPRINT, c) && Local(ECHO)) return Reprint(), true;
  if (c == '\n') {
    if (Local(ECHO) || Local(ECHONL)) EchoByte('\n');
    Store(c);
    EndLine();
    return true;
  }
  if (Is(VEOF, c)) return EndLine(), true;
  if (Is(VEOL, c) || (extended && Is(VEOL2, c))) {
    if (Local(ECHO)) {
      if (line_start() == end()) line_column_ = column_;
      Echo(c);
    }
    Store(c);
    EndLine();
    return true;
  }
  return false;
}

void LineDiscipline::Store(uint8_t c) {
  if (input_.size() >= kCapacity - 1 && c != '\n') {
    if (input_.size() >= kCapacity || canonical()) {
      if (Input(IMAXBEL)) EchoByte('\a');
      return;
    }
  }
  input_.push_back(static_cast<char>(c));
}

void LineDiscipline::EndLine() { line_ends_.push_back(end()); }

// --- editing ---

void LineDiscipline::Erase(uint8_t key) {
  if (line_start() == end()) return;
  const bool word = Is(VWERASE, key), all = Is(VKILL, key) && !Is(VERASE, key);
  const size_t first = line_start() - begin_;
  if (all) {
    if (!Local(ECHO)) {
      input_.resize(first);
      return;
    }
    if (!Local(ECHOK) || !Local(ECHOKE) || !Local(ECHOE)) {
      input_.resize(first);
      FinishErasing();
      Echo(key);
      // A kill that cannot be shown goes on a new line.
      if (Local(ECHOK)) EchoByte('\n');
      return;
    }
  }
  bool seen_word = false;
  while (input_.size() > first) {
    // A character of several bytes goes as a whole.
    size_t at = input_.size() - 1;
    while (at > first && IsContinuation(static_cast<uint8_t>(input_[at]))) at--;
    const auto c = static_cast<uint8_t>(input_[at]);
    if (word) {
      if (isalnum(c) || c == '_' || c >= 0x80) {
        seen_word = true;
      } else if (seen_word) {
        break;
      }
    }
    const std::string gone = input_.substr(at);
    input_.resize(at);
    if (Local(ECHO)) {
      if (Local(ECHOPRT)) {
        if (!erasing_) EchoByte('\\');
        erasing_ = true;
        Echo(c);
        for (size_t i = 1; i < gone.size(); i++) EchoByte(static_cast<uint8_t>(gone[i]));
      } else if (Is(VERASE, key) && !Local(ECHOE)) {
        Echo(termios_.cc[VERASE]);
      } else {
        EraseOnScreen(c);
      }
    }
    if (Is(VERASE, key)) break;
  }
  if (line_start() == end() && Local(ECHO)) FinishErasing();
}

int LineDiscipline::Width(uint8_t c, bool control_as_two) {
  if (IsControl(c)) return control_as_two ? 2 : 0;
  return 1;
}

void LineDiscipline::EraseOnScreen(uint8_t c) {
  if (c == '\t') {
    // Back to where the text before it ends; tabs before it make that a sum from the line's start.
    int column = line_column_;
    for (size_t i = line_start() - begin_; i < input_.size(); i++) {
      const auto before = static_cast<uint8_t>(input_[i]);
      if (before == '\t') {
        column = (column | 7) + 1;
      } else if (!IsContinuation(before)) {
        column += Width(before, Local(ECHOCTL));
      }
    }
    while (column_ > column) EchoByte('\b');
    return;
  }
  for (int i = Width(c, Local(ECHOCTL)); i > 0; i--) {
    EchoByte('\b');
    EchoByte(' ');
    EchoByte('\b');
  }
}

void LineDiscipline::FinishErasing() {
  if (!erasing_) return;
  EchoByte('/');
  erasing_ = false;
}

void LineDiscipline::Reprint() {
  FinishErasing();
  Echo(termios_.cc[VREPRINT]);
  EchoByte('\n');
  for (size_t i = line_start() - begin_; i < input_.size(); i++) Echo(static_cast<uint8_t>(input_[i]));
}

// --- echo and output ---

bool LineDiscipline::IsContinuation(uint8_t c) const { return Input(IUTF8) && (c & 0xc0) == 0x80; }

void LineDiscipline::EchoByte(uint8_t c) {
  if (output_ == nullptr || output_->size() >= kMaxEcho) return;
  PrintOne(c, output_);
}

void LineDiscipline::Echo(uint8_t c) {
  if (Local(ECHOCTL) && IsControl(c) && c != '\t') {
    EchoByte('^');
    EchoByte(c ^ 0100);
  } else {
    EchoByte(c);
  }
}

void LineDiscipline::Print(std::string_view bytes, std::string* output) {
  if ((termios_.oflag & OPOST) == 0) {
    output->append(bytes);
    return;
  }
  for (char c : bytes) PrintOne(static_cast<uint8_t>(c), output);
}

void LineDiscipline::PrintOne(uint8_t c, std::string* output) {
  const uint32_t flags = termios_.oflag;
  if ((flags & OPOST) == 0) {
    output->push_back(static_cast<char>(c));
    return;
  }
  switch (c) {
    case '\n':
      if ((flags & ONLRET) != 0) column_ = 0;
      if ((flags & ONLCR) != 0) {
        column_ = 0;
        output->push_back('\r');
      }
      break;
    case '\r':
      if ((flags & ONOCR) != 0 && column_ == 0) return;
      if ((flags & OCRNL) != 0) {
        c = '\n';
        if ((flags & ONLRET) != 0) column_ = 0;
        break;
      }
      column_ = 0;
      break;
    case '\t': {
      const int spaces = 8 - (column_ & 7);
      column_ += spaces;
      if ((flags & TABDLY) == XTABS) {
        output->append(spaces, ' ');
        return;
      }
      break;
    }
    case '\b':
      if (column_ > 0) column_--;
      break;
    default:
      if (IsControl(c)) break;
      if ((flags & OLCUC) != 0) c = static_cast<uint8_t>(toupper(c));
      if (!IsContinuation(c)) column_++;
  }
  output->push_back(static_cast<char>(c));
}

}  // namespace devpts
