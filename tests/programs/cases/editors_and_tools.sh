# Other everyday programs, each as far as it is installed.
export LC_ALL=C HOME=$PWD
have() { command -v "$1" >/dev/null; }
seq 1 20 > text
if have vim; then vim -u NONE -es -c '%s/1/one/g' -c 'wq' text </dev/null; head -n 3 text; fi
if have ed; then printf '1,3d\nw\nq\n' | ed -s text; head -n 1 text; fi
if have openssl; then openssl dgst -sha256 /etc/passwd; openssl genrsa 1024 2>/dev/null | openssl rsa -check -noout 2>/dev/null; echo secret | openssl enc -aes-256-cbc -pbkdf2 -pass pass:x | openssl enc -d -aes-256-cbc -pbkdf2 -pass pass:x; fi
if have ssh-keygen; then ssh-keygen -q -t ed25519 -N '' -f key && ls key key.pub; fi
if have gpg; then echo | gpg --print-md sha256 2>/dev/null; fi
if have dpkg; then dpkg -l | wc -l; dpkg -S /bin/bash /usr/bin/perl 2>/dev/null | sort | head -n 3; dpkg-query -W -f '${Version}\n' bash; fi
if have apt-cache; then apt-cache policy bash 2>/dev/null | head -n 2; fi
if have cmake; then printf 'cmake_minimum_required(VERSION 3.10)\nmessage("from cmake")\n' > CMakeLists.txt; cmake -P CMakeLists.txt 2>&1; fi
if have ninja; then printf 'rule r\n  command = echo $out > $out\nbuild a: r\nbuild b: r a\n' > build.ninja; ninja | tail -n 1; cat b; fi
if have jq; then echo '{"a": [1, 2, {"b": 3}]}' | jq -c '.a[2].b, .a'; fi
if have m4; then echo 'define(x, y)x' | m4; fi
if have rsync; then mkdir from to; cp text from; rsync -a from/ to/; cmp from/text to/text && echo rsynced; fi
if have file; then file -b /etc/passwd; fi
if have strings; then strings /bin/true | grep -c libc; readelf -h /bin/true | grep Class; objdump -f /bin/true | grep -c format; fi
if have bison; then bison --version | head -n 1; fi
if have lua; then lua -e 'print(1 + 1)'; fi
if have ruby; then ruby -e 'puts Thread.new { 42 }.value'; fi
if have php; then php -r 'echo 1 + 1, "\n";'; fi
if have expect; then expect -c 'spawn -noecho cat; send "typed\r"; expect typed; puts seen' | tail -n 1; fi
if have screen; then screen -v | head -n 1 | cut -d' ' -f1; fi
if have systemd-detect-virt; then systemd-detect-virt >/dev/null; fi
if have getfacl; then getfacl -p text 2>&1 | head -n 2; fi
if have crontab; then crontab -l 2>&1 | head -c 2; echo; fi
echo end
