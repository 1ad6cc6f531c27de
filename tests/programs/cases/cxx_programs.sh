# Compiles C++ with threads, exceptions and the standard library.
# needs: g++
set -eu
cat > main.cc <<'END'
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <future>
#include <iostream>
#include <map>
#include <mutex>
#include <numeric>
#include <regex>
#include <shared_mutex>
#include <stdexcept>
#include <thread>
#include <vector>
int Depth(int n) { if (n == 0) throw std::runtime_error("from deep"); return Depth(n - 1) + 1; }
int main() {
  std::atomic<long> sum{0};
  std::mutex mutex;
  std::map<int, int> counts;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) threads.emplace_back([&, t] {
      for (int i = 0; i < 20000; ++i) { sum += i; std::lock_guard lock(mutex); ++counts[(i + t) % 10]; }
    });
  }
  std::cout << sum << ' ' << counts[3] << '\n';
  std::condition_variable ready;
  int turn = 0;
  std::thread ping([&] { for (int i = 0; i < 2000; ++i) { std::unique_lock lock(mutex); ready.wait(lock, [&] { return turn == 0; }); turn = 1; ready.notify_one(); } });
  for (int i = 0; i < 2000; ++i) { std::unique_lock lock(mutex); ready.wait(lock, [&] { return turn == 1; }); turn = 0; ready.notify_one(); }
  ping.join();
  std::cout << "ping-pong\n";
  auto later = std::async(std::launch::async, [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); return 7; });
  std::cout << later.get() << '\n';
  auto throws = std::async(std::launch::async, [] { return Depth(1000); });
  try { throws.get(); } catch (const std::exception& e) { std::cout << e.what() << '\n'; }
  std::vector<double> values(2000000);
  std::iota(values.begin(), values.end(), 0.0);
  std::sort(values.rbegin(), values.rend());
  std::cout << std::accumulate(values.begin(), values.end(), 0.0) << '\n';
  namespace fs = std::filesystem;
  fs::create_directories("a/b/c");
  std::ofstream("a/b/file") << "contents";
  fs::copy("a", "copy", fs::copy_options::recursive);
  fs::rename("copy/b/file", "copy/renamed");
  std::cout << fs::file_size("copy/renamed") << ' ' << fs::remove_all("a") << ' ' << fs::exists("a") << '\n';
  std::cout << std::regex_replace(std::string("some words"), std::regex("o(.)"), "<$1>") << '\n';
  std::shared_mutex shared;
  std::atomic<int> readers{0};
  std::vector<std::thread> pool;
  for (int t = 0; t < 10; ++t) pool.emplace_back([&] { for (int i = 0; i < 200; ++i) { if (i % 10) { std::shared_lock l(shared); ++readers; } else { std::unique_lock l(shared); ++readers; } } });
  for (auto& thread : pool) thread.join();
  std::cout << readers << '\n';
  try { std::vector<int>().at(3); } catch (const std::out_of_range&) { std::cout << "out of range\n"; }
  std::thread([] { static thread_local int x = 3; std::cout << ++x << '\n'; }).join();
}
END
g++ -std=c++20 -O2 -Wall -o main main.cc -pthread
./main
