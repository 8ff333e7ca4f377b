// Entry of the bundle.
import 'graphiql/style.css';
import './page.css';
import { GraphiQL } from 'graphiql';
import { createClient } from 'graphql-ws';
import { createElement } from 'react';
import { createRoot } from 'react-dom/client';
import { start } from './page.js';

// Workers are plain files of our own origin, so the policy needs neither `blob:` nor `unsafe-eval`.
globalThis.MonacoEnvironment = {
  getWorker: (_, label) => new Worker(new URL(WORKER_FILES[label] ?? WORKER_FILES.editor, import.meta.url)),
};

start({ createElement, render: (element, node) => createRoot(node).render(element), GraphiQL, createClient });
