"use strict";
// Numbers, spans of time and names as people read them.
const whole = new Intl.NumberFormat("en");

function count(n) {
  if (n < 100000) return whole.format(Math.round(n));
  if (n < 1e6) return (n / 1e3).toFixed(0) + "k";
  return n < 1e9 ? (n / 1e6).toFixed(2) + "M" : (n / 1e9).toFixed(2) + "G";
}

function rate(n) { return n < 10 && !Number.isInteger(n) ? n.toFixed(1) : count(n); }

function weight(n) { return Number.isInteger(n) ? String(n) : n.toFixed(n < 10 ? 1 : 0); }

function latency(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const ms = seconds * 1000;
  return ms < 10 ? ms.toFixed(1) + " ms" : ms < 1000 ? ms.toFixed(0) + " ms" : seconds.toFixed(seconds < 10 ? 2 : 1) + " s";
}

function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}

function clock(date) { return date.toLocaleTimeString([], { hourCycle: "h23" }); }

function moment(text) {
  const date = new Date(text), today = new Date().toDateString() === date.toDateString();
  return (today ? "" : date.toLocaleDateString([], { month: "short", day: "numeric" }) + " ") + clock(date);
}

function plural(n, one, many) { return count(n) + " " + (n === 1 ? one : many || one + "s"); }

// `server_refused` as it is said.
function word(key) { return key.replaceAll("_", " "); }

// `3 server refused, 1 no server`: the most frequent first.
function reasons(counts) {
  const named = Object.entries(counts).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  return named.map(([key, n]) => count(n) + " × " + word(key)).join(", ");
}
