"""The counters' steps as Redis carries them out: one script, so that nothing comes between the parts of a step.

It gets a batch of steps in MessagePack and answers in MessagePack, so that a batch is one command and one round trip.
What it does is what `policy/counters.Windows` does in memory, and the same tests hold both. Windows are hashes of
slices, which expire on their own. What goes on at once is a sorted set of holders by the end of their lease: of a
gateway that was killed nothing stays held for longer than that.
"""

from __future__ import annotations

from trivium.policy.counters import SLICES

PREFIX = "trivium:"

SCRIPT = (
    f"local SLICES, PREFIX = {SLICES}, '{PREFIX}'\n"
    + """
local now = tonumber(ARGV[2])
if now < 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A full Redis, which refuses what takes room, refuses nothing of a script that has written something before.
redis.call('SET', PREFIX .. 'room', '', 'EX', 60)

local function text(number) return string.format('%.0f', number) end

-- What a window has: its total and its slices by number; what is too old goes.
local function read(key, window_s)
  local slice_ms = window_s * 1000 / SLICES
  local last = math.floor(now / slice_ms)
  local cells = redis.call('HGETALL', key)
  local total, slices = 0, {}
  for i = 1, #cells, 2 do
    local number = tonumber(cells[i])
    if number < last - SLICES then
      redis.call('HDEL', key, cells[i])
    else
      local count = tonumber(cells[i + 1])
      last = math.max(last, number)  -- a clock that went back changes nothing
      slices[number] = count
      total = total + count
    end
  end
  return {key = key, slice_ms = slice_ms, last = last, total = total, slices = slices}
end

local function ends_ms(window, number) return (number + SLICES + 1) * window.slice_ms - now end

local function freed_ms(window, excess)
  for number = window.last - SLICES, window.last do
    excess = excess - (window.slices[number] or 0)
    if excess <= 0 then return ends_ms(window, number) end
  end
  return ends_ms(window, window.last)
end

local function resets_ms(window)
  for number = window.last, window.last - SLICES, -1 do
    if (window.slices[number] or 0) ~= 0 then return ends_ms(window, number) end
  end
  return 0
end

local function count(window, number, amount)
  local oldest = window.last - SLICES
  if number < oldest then return end
  for _, beside in ipairs({number, number - 1, number + 1}) do
    local there = window.slices[beside] or 0
    local part = math.max(amount, -there)
    if part ~= 0 and oldest <= beside and beside <= window.last then
      redis.call('HINCRBY', window.key, text(beside), text(part))
      redis.call('PEXPIRE', window.key, text((SLICES + 1) * window.slice_ms))
      window.slices[beside] = there + part
      window.total = window.total + part
      amount = amount - part
    end
    if amount == 0 then return end
  end
end

local function held(key)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now))
  return redis.call('ZCARD', key)
end

local function hold(key, holder, lease_ms)
  redis.call('ZADD', key, text(now + lease_ms), holder)
  if redis.call('PTTL', key) < lease_ms then redis.call('PEXPIRE', key, text(lease_ms)) end
end

local steps = {}

-- {'take', holder, lease_ms, {{key, limit, amount, window_s}, ...}} -> {denied, wait_ms, {used, resets_ms}, ...}
function steps.take(holder, lease_ms, claims)
  local denied, longest, windows = 0, 0, {}
  for i, claim in ipairs(claims) do
    local key, limit, amount, window_s = PREFIX .. claim[1], claim[2], math.max(claim[3], 1), claim[4]
    local used
    if window_s > 0 then
      windows[i] = read(key, window_s)
      used = windows[i].total
    else
      used = held(key)
    end
    if used + amount > limit then
      local wait_ms = window_s > 0 and freed_ms(windows[i], used + amount - limit) or 1000
      if denied == 0 or math.ceil(wait_ms / 1000) > math.ceil(longest / 1000) then denied, longest = i, wait_ms end
    end
  end
  local answer = {denied, longest}
  for i, claim in ipairs(claims) do
    local window = windows[i]
    if window then
      if denied == 0 and claim[3] > 0 then count(window, window.last, claim[3]) end
      answer[#answer + 1] = {window.total, resets_ms(window)}
    else
      if denied == 0 and claim[3] > 0 then hold(PREFIX .. claim[1], holder, lease_ms) end
      answer[#answer + 1] = {held(PREFIX .. claim[1]), 0}
    end
  end
  return answer
end

-- {'add', {key, ...}, amount, window_s, ago_ms}
function steps.add(keys, amount, window_s, ago_ms)
  for _, key in ipairs(keys) do
    local window = read(PREFIX .. key, window_s)
    count(window, math.floor((now - ago_ms) / window.slice_ms), amount)
  end
  return {}
end

-- {'leave', holder, {key, ...}}
function steps.leave(holder, keys)
  for _, key in ipairs(keys) do redis.call('ZREM', PREFIX .. key, holder) end
  return {}
end

-- {'renew', key, lease_ms, {holder, ...}}
function steps.renew(key, lease_ms, holders)
  for _, holder in ipairs(holders) do hold(PREFIX .. key, holder, lease_ms) end
  return {}
end

local answers = {}
for i, step in ipairs(cmsgpack.unpack(ARGV[1])) do
  answers[i] = steps[step[1]](unpack(step, 2))
end
return cmsgpack.pack(answers)
"""
)
