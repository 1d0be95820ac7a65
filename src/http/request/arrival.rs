//! From a request to where it goes: who asks, which route takes it, whether it may, which pool and which session.
//!
//! Much is answered here: redirects, refusals, whatever routes say themselves.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Version};

use crate::dispatch::Binding;
use crate::headers::names;
use crate::http::X_REQUEST_ID;
use crate::http::answer::acme;
use crate::http::answer::redirect;
use crate::http::answer::{respond, send_on};
use crate::http::body::compression::Compressor;
use crate::http::context::Context;
use crate::http::failure::Failure;
use crate::http::record;
use crate::http::request::destination;
use crate::http::request::host;
use crate::http::request::id::RequestId;
use crate::http::request::options;
use crate::http::request::routes::{Action, Route, Routes};
use crate::http::request::settle::settle;
use crate::http::request::target::Target;
use crate::http::request::variables;
use crate::http::site::Site;
use crate::http::wire::Client;
use crate::http::wire::message::RequestHeader;
use crate::persistence::RequestView;
use crate::routing::{Asked, Verdict, rewritten};

/// Finds out where a request goes. True: it has been answered.
///
/// # Errors
///
/// It can't be served, or the client doesn't take its answer.
pub async fn receive(
    request: &mut RequestHeader,
    client: &mut Client,
    context: &mut Context,
) -> Result<bool, Failure> {
    settle(request);
    let origin = &context.origin;
    let site = Arc::clone(&origin.site);
    context.compressor = Compressor::new(request, site.http.compression.as_ref());
    let peer = origin.connection.ends.peer_ip();
    let found = site.resolver.client(peer, &request.headers);
    context.client = Some(found);
    let is_https = origin.connection.is_https();
    context.https = site.resolver.https(found, &request.headers, is_https);
    if acme::answer(request, client, context).await? {
        return Ok(true);
    }
    let given = request
        .headers
        .get(X_REQUEST_ID)
        .filter(|_| found.trusted_peer)
        .and_then(RequestId::from_trusted);
    context.request_id = Some(given.unwrap_or_else(|| RequestId::random(&mut rand::rng())));
    let tls = context.origin.connection.tls.as_ref();
    if let Some(tls) = tls.filter(|tls| tls.strict_sni)
        && !host::agrees(tls.sni.as_deref(), request.target(), &request.headers)
    {
        return Err(Failure::Misdirected);
    }
    if let Some(port) = site.redirect_https {
        let location = redirect::location(request.target(), &request.headers, port);
        let Some(location) = location else {
            return Err(Failure::BadRequest);
        };
        // For good, method and body included (RFC 9110 section 15.4.9).
        send_on(request, client, context, 308, location).await?;
        return Ok(true);
    }
    if request.method == Method::TRACE && !site.http.trace {
        return Err(Failure::NoTrace);
    }
    if let Some(routes) = &site.routes {
        let way = find(routes, request, found.address)?;
        context.route = way.route;
        context.taken = way.taken;
        context.uri = way.uri;
    }
    if let Some(route) = context.route.clone() {
        admit(&route, found.address, request, context).await?;
        if answer_by(&route, request, client, context).await? {
            return Ok(true);
        }
    }
    bind(&site, request, context, found.address).await;
    let Some(target) = context.target() else {
        return Err(Failure::NoRoute);
    };
    if target.link.http2() && options::wants_websocket(&request.headers) {
        return Err(Failure::NoUpgrade);
    }
    if request.version == Version::HTTP_10 {
        // HTTP/1.0 knows no interim responses and can't ask for one (RFC 9110 sections 10.1.1, 15.2).
        request.headers.remove(names::EXPECT);
    }
    context.destination = destination::of_server(request, context)?;
    context.expects = request.headers.contains_key(names::EXPECT);
    Ok(false)
}

/// Which way a request goes.
#[derive(Default)]
struct Way {
    route: Option<Arc<Route>>,
    taken: usize,
    uri: Option<Bytes>,
}

/// The route that takes the request, and what its server is asked for.
fn find(routes: &Routes, request: &RequestHeader, client: IpAddr) -> Result<Way, Failure> {
    let (path, query) = record::split_target(request.target());
    // The asterisk is for the server as a whole, and no path (RFC 9110 section 9.3.7).
    let normal = if routes.normalizes() && path != b"*" {
        Some(routes.compared(path).map_err(Failure::BadPath)?)
    } else {
        None
    };
    let host = host::authority(request.target(), &request.headers).map(host::without_port);
    let found = routes.find(&Asked {
        host,
        path: normal.as_ref().map_or(path, |normal| &normal.compared),
        query,
        method: &request.method,
        headers: &request.headers,
        client,
    });
    let (route, taken) = match found {
        Some((route, taken)) => (Some(route), taken),
        None => (None, 0),
    };
    let normal = match normal {
        Some(compared) => {
            let forwarded = routes.forwarded(path, compared, route.as_deref());
            Some(forwarded.map_err(Failure::BadPath)?)
        }
        None => None,
    };
    let rewrite = route
        .as_ref()
        .and_then(|route| Some((route.form, route.rewrite.path.as_ref()?)));
    let uri = match (&normal, rewrite) {
        (Some(normal), Some((form, rewrite))) => {
            Some(rewritten(rewrite, normal, form, taken, query).ok_or(Failure::BadRequest)?)
        }
        (Some(normal), None) if *normal.forwarded != *path => {
            let mut uri = normal.forwarded.to_vec();
            if let Some(query) = query {
                uri.push(b'?');
                uri.extend_from_slice(query);
            }
            Some(uri)
        }
        _ => None,
    };
    Ok(Way {
        route,
        taken,
        uri: uri.map(Bytes::from),
    })
}

/// Refuses a request that may not pass.
async fn admit(
    route: &Route,
    client: IpAddr,
    request: &RequestHeader,
    context: &mut Context,
) -> Result<(), Failure> {
    if !route.admits(client) {
        return Err(Failure::Forbidden);
    }
    if let Some(limiter) = &route.limiter
        && let Err(wait) = limiter.take(client, &request.headers, Instant::now())
    {
        context.retry_after = Some(wait);
        return Err(Failure::TooManyRequests);
    }
    if let Some(passwords) = &route.passwords {
        return match passwords.check(&request.headers).await {
            Verdict::Granted(_) => Ok(()),
            Verdict::Denied => Err(Failure::Unauthorized),
            Verdict::Busy => Err(Failure::TooManyPasswords),
        };
    }
    Ok(())
}

/// Answers a request whose route does that itself. True: it has been answered.
async fn answer_by(
    route: &Route,
    request: &RequestHeader,
    client: &mut Client,
    context: &mut Context,
) -> Result<bool, Failure> {
    match &route.action {
        Action::Pool(_) | Action::Split(..) => Ok(false),
        Action::Redirect { status, to } => {
            let location = variables::location(to, request, context);
            let Some(location) = location else {
                return Err(Failure::BadRequest);
            };
            send_on(request, client, context, *status, location).await?;
            Ok(true)
        }
        Action::Respond {
            status, body: None, ..
        } if *status >= 400 => Err(Failure::Configured(*status)),
        Action::Respond {
            status,
            body,
            content_type,
        } => {
            respond(
                request,
                client,
                context,
                *status,
                body.clone(),
                content_type,
            )
            .await?;
            Ok(true)
        }
    }
}

/// Chooses the pool, and finds the session in it.
async fn bind(site: &Site, request: &RequestHeader, context: &mut Context, client: IpAddr) {
    let (path, query) = record::split_target(request.target());
    let view = RequestView {
        headers: &request.headers,
        path,
        query,
        client,
        last_token: Some(&context.origin.connection.last_token),
    };
    let route = context.route.clone();
    let target = match route.as_ref().map(|route| &route.action) {
        Some(Action::Pool(target)) => Some(target),
        Some(Action::Split(targets, turns)) => {
            if let Some((target, binding)) = bound(targets, &view).await {
                context.target = Some(target);
                context.binding = binding;
                return;
            }
            targets.get(turns.next())
        }
        Some(_) => None,
        None => site.target.as_ref(),
    };
    if let Some(target) = target {
        context.binding = Binding::read(&target.site, &view).await;
        context.target = Some(Arc::clone(target));
    }
}

/// The first of several pools that has a server for the request's session; one that takes requests if there is one.
async fn bound(targets: &[Arc<Target>], view: &RequestView<'_>) -> Option<(Arc<Target>, Binding)> {
    let mut first = None;
    for target in targets
        .iter()
        .filter(|target| target.site.affinity.is_some())
    {
        let binding = Binding::read(&target.site, view).await;
        if binding.is_open() {
            return Some((Arc::clone(target), binding));
        }
        if first.is_none() && binding.server().is_some() {
            first = Some((Arc::clone(target), binding));
        }
    }
    first
}
