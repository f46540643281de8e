/** The style of the page at `/`; its hash is in the page's Content-Security-Policy. */
export const landingStyle = `
:root { color-scheme: light dark; --ink: #1d2330; --dim: #5d6779; --paper: #f7f8fa; --card: #fff; --line: #dfe3ea; --mark: #2f6f4f }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7eaf0; --dim: #98a2b5; --paper: #14171d; --card: #1b2028; --line: #2c333f; --mark: #6fc297 }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.6 system-ui, sans-serif }
main { max-width: 46rem; margin: 0 auto; padding: 4rem 1.5rem }
h1 { font-size: 2rem; margin: 0 }
p.lead { color: var(--dim); margin: .25rem 0 2rem }
h2 { font-size: 1rem; margin: 2rem 0 .5rem }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; overflow-x: auto; font-size: .85rem }
a { color: var(--mark) }
nav a { display: inline-block; margin-right: 1rem; padding: .4rem .9rem; border: 1px solid var(--line); border-radius: 8px; background: var(--card); text-decoration: none }
footer { color: var(--dim); font-size: .85rem; margin-top: 3rem }
`

const escaped = (text: string) => text.replaceAll(/[^A-Za-z0-9.:[\]/-]/g, (sign) => `&#${sign.codePointAt(0)};`)

/**
 * The page at `/`: where to read on, and what to type first.
 * @param origin as the reader has reached it @param isOwnTls over a certificate that we signed ourselves: curl does not know it
 */
export const landingPage = (version: string, origin: string, isOwnTls: boolean) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Horcrux</title>
<style>${landingStyle}</style>
</head>
<body>
<main>
<h1>Horcrux</h1>
<p class="lead">Virtual machines and containers, on one Linux host or many. It is running.</p>
<nav><a href="/api/docs">API reference</a><a href="/api/openapi.json">OpenAPI 3.1</a><a href="/readyz">Readiness</a></nav>
<h2>1. Make the first administrator, with the set-up token from the log</h2>
<pre>curl${isOwnTls ? ' -k' : ''} -X POST ${escaped(origin)}/api/auth/setup \\
  -H 'Content-Type: application/json' \\
  -d '{"token": "…", "username": "admin", "password": "…"}'</pre>
<h2>2. Sign in</h2>
<pre>TOKEN=$(curl -s${isOwnTls ? 'k' : ''} -X POST ${escaped(origin)}/api/auth/login \\
  -H 'Content-Type: application/json' \\
  -d '{"username": "admin", "password": "…"}' | sed 's/.*"token":"\\([^"]*\\)".*/\\1/')</pre>
<h2>3. Look around</h2>
<pre>curl${isOwnTls ? ' -k' : ''} -H "Authorization: Bearer $TOKEN" ${escaped(origin)}/api/vms</pre>
<footer>Horcrux ${version}</footer>
</main>
</body>
</html>
`
