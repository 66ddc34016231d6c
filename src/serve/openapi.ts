/** The OpenAPI document, from the schemas that check requests. */
import type { z } from 'zod';
import { type SchemaNode, schemaOf } from '../config/describe.ts';
import { chatRequest, completionRequest } from './parameters.ts';
import {
  chatChunk,
  chatResponse,
  completionChunk,
  completionResponse,
  errorResponse,
  healthResponse,
  modelResponse,
  modelsResponse,
} from './responses.ts';

const SCHEMAS: Readonly<Record<string, z.ZodType>> = {
  CompletionRequest: completionRequest,
  Completion: completionResponse,
  CompletionChunk: completionChunk,
  ChatRequest: chatRequest,
  Chat: chatResponse,
  ChatChunk: chatChunk,
  Model: modelResponse,
  Models: modelsResponse,
  Health: healthResponse,
  Error: errorResponse,
};

type Content = Readonly<Record<string, { readonly schema: object }>>;

const named = (name: string): object => ({ $ref: `#/components/schemas/${name}` });
const json = (name: string): Content => ({ 'application/json': { schema: named(name) } });
const text = (type: string): Content => ({ [type]: { schema: { type: 'string' } } });
const events = (name: string): Content => ({
  'text/event-stream': { schema: { type: 'string', description: `data: ${name}, one a line, and data: [DONE]` } },
});

const ERRORS: Readonly<Record<string, string>> = {
  '400': 'not what the schema wants, or more than the context holds',
  '401': 'no token, or a wrong one',
  '403': 'a Host or an origin that is not allowed',
  '404': 'no such model',
  '413': 'too large',
  '415': 'not application/json',
  '429': 'too many wait',
  '500': 'the server failed',
  '503': 'the server is ending',
  '504': 'not done in time',
};

/** Builds the document. @param version of nibble */
export function openApiDocument(version: string): object {
  return {
    openapi: '3.1.0',
    info: {
      title: 'nibble serve',
      version,
      description: "OpenAI's endpoints for a model and the adapters on it.",
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths: {
      '/v1/chat/completions': { post: generating('createChat', 'Answer a chat', 'Chat') },
      '/v1/completions': { post: generating('createCompletion', 'Go on from a prompt, or score it', 'Completion') },
      '/v1/models': { get: reading('listModels', 'The base and its adapters', json('Models'), true) },
      '/v1/models/{model}': {
        get: {
          ...reading('getModel', 'One of them', json('Model'), true),
          parameters: [{ name: 'model', in: 'path', required: true, schema: { type: 'string' } }],
        },
      },
      '/health': { get: reading('getHealth', 'Whether requests are taken', json('Health'), false) },
      '/metrics': { get: reading('getMetrics', "Figures in Prometheus' format", text('text/plain'), true) },
      '/openapi.json': {
        get: reading('getOpenApi', 'This document', { 'application/json': { schema: { type: 'object' } } }, false),
      },
      '/': { get: reading('getPage', 'A page to chat on', text('text/html'), false) },
    },
    components: {
      schemas: Object.fromEntries(Object.entries(SCHEMAS).map(([name, type]) => [name, clean(schemaOf(type))])),
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    },
  };
}

function generating(operationId: string, summary: string, name: string): object {
  return {
    operationId,
    summary,
    security: [{ token: [] }, {}],
    requestBody: { required: true, content: json(`${name}Request`) },
    responses: {
      '200': {
        description: 'the whole text, or with stream its pieces',
        content: { ...json(name), ...events(`${name}Chunk`) },
      },
      ...Object.fromEntries(Object.entries(ERRORS).map(([status, description]) => [status, failure(description)])),
    },
  };
}

const failure = (description: string): object => ({ description, content: json('Error') });

function reading(operationId: string, summary: string, content: Content, needsToken: boolean): object {
  return {
    operationId,
    summary,
    ...(needsToken ? { security: [{ token: [] }, {}] } : {}),
    responses: { '200': { description: summary, content }, default: failure('refused') },
  };
}

/** `unfollowed` is a mark of ours, and no word of JSON Schema. */
function clean(node: SchemaNode): object {
  return JSON.parse(JSON.stringify(node, (key, value) => (key === 'unfollowed' ? undefined : value)));
}
