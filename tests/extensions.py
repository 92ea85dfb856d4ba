"""Two extensions that tests load: one that does everything a guest can do wrong, one that does what it is told."""

from toolbox import extension

ECHO = extension(
    """(name: "echo", api_version: "0.1", exports: {
        "echo": (params: [bytes], ret: bytes),
        "add": (params: [i32, i32], ret: i32),
        "count": (params: [], ret: i32),
        "list": (params: [bytes], ret: list(i32)),
        "twice": (params: [bytes], ret: bytes),
        "silent": (params: [], ret: bytes),
        "fail": (params: [string], ret: i32),
        "trap": (params: []),
        "spin": (params: []),
        "far": (params: [], ret: bytes),
        "flat_reply": (params: [], ret: i32),
        "who": (params: [], ret: any),
        "say": (params: [i32, bytes]),
    })""",
    """
    (global $count (mut i32) (i32.const 0))
    (func $take (param $handle i32) (param $len i32)
      (drop (call $read (local.get $handle) (i32.const 0) (i32.const 1024) (local.get $len))))
    (func $echo (export "echo") (param $handle i32) (param $len i32)
      (call $take (local.get $handle) (local.get $len))
      (call $reply (i32.const 1024) (local.get $len)))
    (func (export "list") (param i32 i32) (call $echo (local.get 0) (local.get 1)))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "count") (result i32)
      (global.set $count (i32.add (global.get $count) (i32.const 1))) (global.get $count))
    (func (export "twice") (param i32 i32)
      (call $echo (local.get 0) (local.get 1)) (call $echo (local.get 0) (local.get 1)))
    (func (export "silent"))
    (func (export "fail") (param i32 i32) (result i32)
      (call $take (local.get 0) (local.get 1))
      (call $fail (i32.const -7) (i32.const 1024) (local.get 1))
      (i32.const 0))
    (func (export "trap") (unreachable))
    (func (export "spin") (loop (br 0)))
    (func (export "far") (call $reply (i32.const -16) (i32.const 64)))
    (func (export "flat_reply") (result i32) (call $reply (i32.const 0) (i32.const 1)) (i32.const 5))
    (func (export "who") (local $pair i64)
      (local.set $pair (call $context))
      (call $echo (i32.wrap_i64 (i64.shr_u (local.get $pair) (i64.const 32))) (i32.wrap_i64 (local.get $pair))))
    (func (export "say") (param i32 i32 i32)
      (call $take (local.get 1) (local.get 2))
      (call $log (local.get 0) (i32.const 1024) (local.get 2)))
    """,
    memory="2",
)
"""Answers, fails, traps and lies, one export for each way."""


def relay(name: str, permissions: str = "", more: str = "", *, as_self: bool = False) -> bytes:
    """An extension that does what its caller tells it: requests and publishes anything, and returns the raw answer.

    With `as_self`, it asks with its own rights alone.
    """
    return extension(
        f"""(name: "{name}", api_version: "0.1", exports: {{
            "ask": (params: [string, bytes], ret: bytes, as_self: {"true" if as_self else "false"}),
            "tell": (params: [string, bytes], ret: i32),
            "handled": (params: [], ret: i32),
            "on_event": (params: [any]),
        }}, permissions: {{{permissions}}}, {more})""",
        """
        (global $handled (mut i32) (i32.const 0))
        (func $take (param i32 i32 i32) (drop (call $read (local.get 0) (i32.const 0) (local.get 2) (local.get 1))))
        (func (export "ask") (param i32 i32 i32 i32) (local $pair i64) (local $len i32)
          (call $take (local.get 0) (local.get 1) (i32.const 0))
          (call $take (local.get 2) (local.get 3) (i32.const 1024))
          (local.set $pair (call $request (i32.const 0) (local.get 1) (i32.const 1024) (local.get 3)))
          (local.set $len (i32.wrap_i64 (local.get $pair)))
          (call $take (i32.wrap_i64 (i64.shr_u (local.get $pair) (i64.const 32))) (local.get $len) (i32.const 8192))
          (call $reply (i32.const 8192) (local.get $len)))
        (func (export "tell") (param i32 i32 i32 i32) (result i32)
          (call $take (local.get 0) (local.get 1) (i32.const 0))
          (call $take (local.get 2) (local.get 3) (i32.const 1024))
          (call $publish (i32.const 0) (local.get 1) (i32.const 1024) (local.get 3)))
        (func (export "handled") (result i32) (global.get $handled))
        (func (export "on_event") (param i32 i32)
          (global.set $handled (i32.add (global.get $handled) (i32.const 1))))
        """,
        memory="4",
    )
