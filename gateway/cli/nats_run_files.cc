#include "gateway/cli/nats_run_files.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string_view>
#include <system_error>

namespace sluice {
namespace {

Status write_file(const std::string& path, std::string_view text, mode_t mode) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  const bool good =
      fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (good) return {};
  return fail(Errc::kIo, fmt::format("open {}: {}", path, std::generic_category().message(error)));
}

/// Addresses a client on this machine could use.
std::vector<std::string> addresses_of(const std::string& host) {
  const bool any_v4 = host == "0.0.0.0";
  const bool any_v6 = host == "::";
  if (!any_v4 && !any_v6) return {host};
  std::vector<std::string> out;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) == 0) {
    for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
      if (one->ifa_addr == nullptr) continue;
      const int family = one->ifa_addr->sa_family;
      if (family != AF_INET && !(any_v6 && family == AF_INET6)) continue;
      char name[NI_MAXHOST];
      const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
      if (::getnameinfo(one->ifa_addr, size, name, sizeof name, nullptr, 0, NI_NUMERICHOST) != 0)
        continue;
      std::string_view bare = name;
      out.emplace_back(bare.substr(0, bare.find('%')));
    }
    ::freeifaddrs(list);
  }
  if (out.empty()) out.emplace_back("127.0.0.1");
  return out;
}

std::string url_list(std::string_view scheme, const std::string& host, uint16_t port) {
  std::string out;
  for (const std::string& address : addresses_of(host)) {
    const bool v6 = address.find(':') != std::string::npos;
    out += fmt::format("{}\"{}://{}{}{}:{}\"", out.empty() ? "" : ",", scheme, v6 ? "[" : "",
                       address, v6 ? "]" : "", port);
  }
  return "[" + out + "]";
}

}  // namespace

Status write_pid_file(const std::string& path) {
  return write_file(path, std::to_string(::getpid()), 0600);
}

std::string ports_json(const FacePorts& ports) {
  std::string out = "{\"nats\":" + url_list("nats", ports.client_host, ports.client_port);
  if (ports.monitor_port != 0)
    out += ",\"monitoring\":" + url_list("http", ports.monitor_host, ports.monitor_port);
  if (ports.websocket_port != 0)
    out += ",\"websocket\":" +
           url_list(ports.websocket_scheme, ports.websocket_host, ports.websocket_port);
  return out + "}";
}

PortsFile::~PortsFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

Status PortsFile::write(const std::string& dir, const FacePorts& ports) {
  const std::string path = fmt::format("{}/nats-server_{}.ports", dir, ::getpid());
  const std::string fresh = path + ".new";
  if (auto written = write_file(fresh, ports_json(ports), 0644); !written) return written;
  if (::rename(fresh.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(fresh.c_str());
    return fail(Errc::kIo,
                fmt::format("rename {}: {}", path, std::generic_category().message(error)));
  }
  path_ = path;
  return {};
}

}  // namespace sluice
