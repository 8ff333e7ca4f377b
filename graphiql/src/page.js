// What the bundled page and the CDN fallback share: where to send an operation, with which key, and what the tabs hold.
// It imports nothing, so the same file serves both.

/**
 * Draws GraphiQL into the page.
 * @param createElement React's, `render(element, node)` mounts, `createClient` is graphql-ws's.
 */
export function start({ createElement, render, GraphiQL, createClient }) {
  const endpoint = new URL(location.pathname, location.href);
  const socket = new URL(endpoint);
  socket.protocol = endpoint.protocol.replace('http', 'ws');

  const headersFor = (headers) => {
    const key = keyField.value.trim();
    return { ...(key && { Authorization: `Bearer ${key}` }), ...headers };
  };

  const fetcher = (params, { headers, documentAST } = {}) =>
    isSubscription(documentAST, params.operationName)
      ? subscribe(createClient, socket.href, params, headersFor(headers))
      : post(endpoint, params, headersFor(headers));

  const examples = JSON.parse(document.getElementById('examples').textContent);
  render(
    createElement(
      GraphiQL,
      {
        fetcher,
        defaultTabs: examples,
        defaultHeaders: '{}',
        defaultEditorToolsVisibility: 'variables',
        shouldPersistHeaders: false,
      },
      createElement(GraphiQL.Logo, null, 'GraphiQL'),
    ),
    document.getElementById('graphiql'),
  );
}

// The key lives as long as the browser tab. A changed key reloads the page, for the schema it may see is another.
const keyField = document.getElementById('key');
keyField.value = sessionStorage.getItem('order-center-key') ?? '';
keyField.addEventListener('change', () => {
  sessionStorage.setItem('order-center-key', keyField.value.trim());
  location.reload();
});

function isSubscription(document, operationName) {
  const operations = document?.definitions.filter(({ kind }) => kind === 'OperationDefinition') ?? [];
  const chosen = operations.find(({ name }) => name?.value === operationName) ?? operations[0];
  return chosen?.operation === 'subscription';
}

async function post(endpoint, params, headers) {
  const response = await fetch(endpoint, {
    method: 'POST',
    headers: {
      accept: 'application/graphql-response+json, application/json',
      'content-type': 'application/json',
      ...headers,
    },
    body: JSON.stringify(params),
  });
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`The server answered ${response.status} with something other than JSON: ${text.slice(0, 500)}`);
  }
}

// The headers travel as the payload of `connection_init`: a browser cannot set headers on a WebSocket.
function subscribe(createClient, url, params, connectionParams) {
  return {
    subscribe(observer) {
      const client = createClient({ url, connectionParams });
      const unsubscribe = client.subscribe(params, {
        next: (result) => observer.next(result),
        error: (error) => observer.error(readable(error)),
        complete: () => observer.complete(),
      });
      return { unsubscribe };
    },
  };
}

function readable(error) {
  if (error instanceof Error) return error;
  if (Array.isArray(error)) return new Error(error.map(({ message }) => message).join('\n'));
  return new Error(`The WebSocket was closed: ${error.code ?? 'no code'} ${error.reason ?? ''}`.trim());
}
