#include "http_client/http_client.h"

#include <curl/curl.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/check.h"

namespace sluice {
namespace {

constexpr size_t kMaxHeaders_count = 100;
constexpr size_t kMaxHeaders_bytes = 64 * kKiB;

using Done = std::move_only_function<void(Result<HttpResponse>)>;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

/// One request. Curl knows its address while it is under way.
struct Call {
  Call(HttpPost post, Done told, size_t max_answer)
      : request(std::move(post)), done(std::move(told)), max_answer_bytes(max_answer), easy(curl_easy_init()) {
    SLUICE_CHECK(easy != nullptr);
    for (const auto& [name, value] : request.headers) {
      // "Name;" is how curl is told of a field with an empty value.
      fields = curl_slist_append(fields, (value.empty() ? name + ";" : name + ": " + value).c_str());
    }
    fields = curl_slist_append(fields, "Expect:");  // bodies are small: nobody is asked first
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() {
    curl_easy_cleanup(easy);
    curl_slist_free_all(fields);
  }

  static size_t on_header(char* at, size_t, size_t size, void* self) noexcept {
    static_cast<Call*>(self)->add_header({at, size});
    return size;
  }
  static size_t on_body(char* at, size_t, size_t size, void* self) noexcept {
    Call& call = *static_cast<Call*>(self);
    const size_t room = call.max_answer_bytes - call.answer.body.size();
    call.answer.body.append(at, std::min(size, room));
    call.cut = size > room;
    return call.cut ? 0 : size;  // 0 ends the transfer
  }
  void add_header(std::string_view line) {
    if (line.starts_with("HTTP/")) {  // of the last answer: one with status 100 may come before
      answer.headers.clear();
      header_bytes = 0;
      return;
    }
    header_bytes += line.size();
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || answer.headers.size() >= kMaxHeaders_count ||
        header_bytes > kMaxHeaders_bytes)
      return;
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    while (!value.empty() && (value.back() == ' ' || value.back() == '\r' || value.back() == '\n'))
      value.remove_suffix(1);
    answer.headers.emplace_back(lower(line.substr(0, colon)), value);
  }

  HttpPost request;
  Done done;
  size_t max_answer_bytes;
  HttpResponse answer;
  size_t header_bytes = 0;
  bool cut = false;  ///< the body was longer than we read
  char error[CURL_ERROR_SIZE] = {};
  curl_slist* fields = nullptr;
  CURL* easy;
};

class CurlClient final : public HttpClient {
 public:
  CurlClient(Env& env, HttpClientOptions options)
      : env_(env),
        options_(std::move(options)),
        multi_(curl_multi_init()),
        timer_(env.timers.make([this] { act(CURL_SOCKET_TIMEOUT, 0); })) {
    SLUICE_CHECK(multi_ != nullptr);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlClient::on_socket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlClient::on_timer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    const long connections = static_cast<long>(options_.max_connections);
    curl_multi_setopt(multi_, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections);
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, connections);
  }
  CurlClient(const CurlClient&) = delete;
  CurlClient& operator=(const CurlClient&) = delete;
  ~CurlClient() override {
    *self_ = nullptr;
    for (const auto& [id, call] : calls_) curl_multi_remove_handle(multi_, call->easy);
    curl_multi_cleanup(multi_);  // tells of each socket that it goes
  }

  Ticket post(HttpPost request, Done done) override {
    const uint64_t id = ++last_id_;
    auto call = std::make_unique<Call>(std::move(request), std::move(done), options_.max_answer_bytes);
    set_options(*call, id);
    const CURLMcode added = curl_multi_add_handle(multi_, call->easy);
    calls_.emplace(id, std::move(call));
    if (added != CURLM_OK)
      env_.executor.post([self = self_, id] {
        if (*self != nullptr) (*self)->finish(id, CURLE_FAILED_INIT);
      });
    return Ticket([self = self_, id] {
      if (*self != nullptr) (*self)->cancel(id);
    });
  }

 private:
  void set_options(Call& call, uint64_t id) {
    CURL* easy = call.easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, reinterpret_cast<void*>(static_cast<uintptr_t>(id)));
    curl_easy_setopt(easy, CURLOPT_URL, call.request.url.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "sluice");
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call.request.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call.request.body.data());  // not copied: the call holds it
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call.fields);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(options_.timeout.count()));
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (!options_.ca_file.empty()) {
      curl_easy_setopt(easy, CURLOPT_CAINFO, options_.ca_file.c_str());
      curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
    }
    if (!options_.cert_file.empty()) curl_easy_setopt(easy, CURLOPT_SSLCERT, options_.cert_file.c_str());
    if (!options_.key_file.empty()) curl_easy_setopt(easy, CURLOPT_SSLKEY, options_.key_file.c_str());
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call.error);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Call::on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Call::on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &call);
  }

  // ---- what curl asks for

  static int on_socket(CURL*, curl_socket_t fd, int what, void* client, void*) noexcept {
    static_cast<CurlClient*>(client)->watch(fd, what);
    return 0;
  }
  static int on_timer(CURLM*, long timeout_ms, void* client) noexcept {
    Timer& timer = *static_cast<CurlClient*>(client)->timer_;
    if (timeout_ms < 0)
      timer.stop();
    else
      timer.start(std::chrono::milliseconds(timeout_ms));
    return 0;
  }

  void watch(curl_socket_t fd, int what) {
    if (what == CURL_POLL_REMOVE) {
      sockets_.erase(fd);  // at once: the descriptor's number may be another socket's soon
      return;
    }
    auto& handle = sockets_[fd];
    if (!handle)
      handle = env_.poller.watch(fd, [this, fd](bool readable, bool writable) {
        act(fd, (readable ? CURL_CSELECT_IN : 0) | (writable ? CURL_CSELECT_OUT : 0));
      });
    handle->want(what != CURL_POLL_OUT, what != CURL_POLL_IN);
  }

  /// May end in a `done` that destroys us, and takes the watch down that called it: the last act of its callers.
  void act(curl_socket_t fd, int events) {
    int running = 0;
    curl_multi_socket_action(multi_, fd, events, &running);
    const auto self = self_;
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      void* id = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &id);
      finish(static_cast<uint64_t>(reinterpret_cast<uintptr_t>(id)), message->data.result);
      if (*self == nullptr) return;
    }
  }

  // ---- ends

  std::unique_ptr<Call> take(uint64_t id) {
    auto node = calls_.extract(id);
    if (node.empty()) return nullptr;
    curl_multi_remove_handle(multi_, node.mapped()->easy);
    return std::move(node.mapped());
  }
  void cancel(uint64_t id) { (void)take(id); }

  void finish(uint64_t id, CURLcode code) {
    const auto call = take(id);
    if (call == nullptr) return;
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && call->cut)) {
      call->answer.status = static_cast<uint16_t>(status);
      return call->done(std::move(call->answer));
    }
    const char* words = call->error[0] != '\0' ? call->error : curl_easy_strerror(code);
    call->done(fail(code == CURLE_OPERATION_TIMEDOUT ? Errc::kTimeout : Errc::kIo, words));
  }

  Env& env_;
  const HttpClientOptions options_;
  CURLM* multi_;
  std::map<curl_socket_t, std::unique_ptr<PollHandle>> sockets_;
  std::map<uint64_t, std::unique_ptr<Call>> calls_;
  uint64_t last_id_ = 0;
  std::unique_ptr<Timer> timer_;
  std::shared_ptr<CurlClient*> self_ = std::make_shared<CurlClient*>(this);
};

}  // namespace

Result<std::unique_ptr<HttpClient>> make_http_client(Env& env, HttpClientOptions options) {
  static const CURLcode kReady = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (kReady != CURLE_OK) return fail(Errc::kIo, curl_easy_strerror(kReady));
  for (const std::string* file : {&options.ca_file, &options.cert_file, &options.key_file}) {
    if (!file->empty() && ::access(file->c_str(), R_OK) != 0)
      return fail(Errc::kInvalidArgument, *file + ": can't be read");
  }
  return std::make_unique<CurlClient>(env, std::move(options));
}

bool is_http_url(std::string_view url) {
  std::string_view rest = url;
  if (rest.starts_with("https://"))
    rest.remove_prefix(8);
  else if (rest.starts_with("http://"))
    rest.remove_prefix(7);
  else
    return false;
  const bool sendable = std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c != '\x7f'; });
  // A user and password in an address end up in logs.
  const bool secret = rest.substr(0, rest.find_first_of("/?#")).contains('@');
  return sendable && !secret && !rest.empty() && rest.front() != '/' && rest.front() != ':' && rest.front() != '?';
}

}  // namespace sluice
