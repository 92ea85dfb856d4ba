;; Everything a guest of ABI 0.1 may import from the host, and nothing else.
;;
;; This file is the reference for the eight signatures: `docs/abi.md` explains them, `guests/c/desk.h` declares them
;; for C, and a test holds all three against the host's own table. One import a line, so that a diff reads well.
;;
;; Pointers, lengths, handles and offsets are unsigned 32-bit numbers. An i64 result is a pair, `handle << 32 | length`; with
;; handle 0 the other half is an error code. A pointer and length that leave memory trap; whatever else is wrong is a value.
(module
  ;; Payloads: the arguments of a call, its result, the answers to requests.
  (import "desk@0.1" "read" (func $read (param $handle i32) (param $offset i32) (param $ptr i32) (param $cap i32) (result i32)))
  (import "desk@0.1" "drop" (func $drop (param $handle i32)))

  ;; The end of a call: with a value, or with an error value.
  (import "desk@0.1" "reply" (func $reply (param $ptr i32) (param $len i32)))
  (import "desk@0.1" "fail" (func $fail (param $code i32) (param $ptr i32) (param $len i32)))

  ;; Words for people, and what is known of the call.
  (import "desk@0.1" "log" (func $log (param $level i32) (param $ptr i32) (param $len i32)))
  (import "desk@0.1" "context" (func $context (result i64)))

  ;; The world outside: a question to one (the guest is suspended until the answer is here), an event to all.
  (import "desk@0.1" "request" (func $request (param $subject_ptr i32) (param $subject_len i32) (param $ptr i32) (param $len i32) (result i64)))
  (import "desk@0.1" "publish" (func $publish (param $subject_ptr i32) (param $subject_len i32) (param $ptr i32) (param $len i32) (result i32)))
)
