// What every family includes and is slow to compile.
#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
