// Requests to this instance, and the token that changes need. It is kept in this page's memory alone.
const PATIENCE = 4000;
let token = null;

class Refusal extends Error {
  constructor(status, problem) {
    super(problem.problems && problem.problems.length > 1 ? problem.problems.join("; ") : problem.detail || "status " + status);
    this.status = status;
  }
}

async function read(path, headers) {
  const answer = await fetch(path, { cache: "no-store", headers, signal: AbortSignal.timeout(PATIENCE) });
  if (!answer.ok) throw new Refusal(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

async function change(method, path, body, etag) {
  const headers = {};
  if (token) headers.Authorization = "Bearer " + token;
  if (etag) headers["If-Match"] = etag;
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body ? JSON.stringify(body) : undefined });
  if (!answer.ok) throw new Refusal(answer.status, await answer.json().catch(() => ({})));
}

function serverPath(pool, server) { return "/api/v1/pools/" + encodeURIComponent(pool) + "/servers/" + encodeURIComponent(server); }
