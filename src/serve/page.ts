/** The page at /: it may run its own script and ask this server, and nothing else. */

/** Makes the page's response; its script and style are named by their hashes. */
export async function pageResponse(html: string): Promise<() => Response> {
  const [script, style] = await Promise.all([hashes(html, 'script'), hashes(html, 'style')]);
  const policy = [
    "default-src 'none'",
    `script-src ${script}`,
    `style-src ${style}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  const headers = {
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Security-Policy': policy,
    'Referrer-Policy': 'no-referrer',
    'Cache-Control': 'no-cache',
  };
  return () => new Response(html, { headers });
}

async function hashes(html: string, element: 'script' | 'style'): Promise<string> {
  const bodies = [...html.matchAll(new RegExp(`<${element}>([^]*?)</${element}>`, 'g'))].map(([, body = '']) => body);
  const digests = await Promise.all(
    bodies.map((body) => crypto.subtle.digest('SHA-256', new TextEncoder().encode(body))),
  );
  return digests.map((digest) => `'sha256-${btoa(String.fromCharCode(...new Uint8Array(digest)))}'`).join(' ');
}
